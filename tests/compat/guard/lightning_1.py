"""PyTorch Lightning 1's ways with a Trainer, for the Lightning of today, on a machine without GPUs.

Scripts of 2020 let the Trainer read the command line. Processes on the CPU stand for the GPUs that
they ask for, and a few batches for each epoch.
"""

BATCHES = 5


def mend(module):
    trainer = module.Trainer
    if hasattr(trainer, "add_argparse_args"):
        return
    tested = trainer.test

    def add_argparse_args(parser):
        parser.add_argument("--max_epochs", type=int)
        parser.add_argument("--gpus", type=int, default=0)
        parser.add_argument("--accelerator")
        return parser

    def from_argparse_args(args, **others):
        processes = max(args.gpus, 1)
        return trainer(
            max_epochs=args.max_epochs,
            accelerator="cpu",
            devices=processes,
            strategy=args.accelerator if processes > 1 else "auto",
            limit_train_batches=BATCHES,
            limit_test_batches=BATCHES,
            log_every_n_steps=1,
            **others,
        )

    def test(self, model=None, test_dataloaders=None, **others):
        if type(self.lightning_module).test_step is module.LightningModule.test_step:
            print("The model has no test_step: nothing is tested.")
            return []
        return tested(self, model, test_dataloaders, **others)

    trainer.add_argparse_args = staticmethod(add_argparse_args)
    trainer.from_argparse_args = staticmethod(from_argparse_args)
    trainer.test = test

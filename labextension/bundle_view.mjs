// Bundles labextension/lib/view into one ES module and lays its style sheets beside it as one. Both
// travel to the browser over the widget's comm: the live view needs no server of its own, no CDN.
import { rspack } from '@rspack/core';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import shared from './rspack.config.js';

const { optimization, target } = shared;
const [sheets] = shared.module.rules;
const here = path.dirname(fileURLToPath(import.meta.url));
const output = { path: path.join(here, '..', 'aml_jupyter', 'notebook', 'static') };
const common = { context: here, mode: 'production', target, devtool: false };

const script = {
  ...common,
  entry: './lib/view/index.js',
  output: { ...output, filename: 'view.js', module: true, library: { type: 'modern-module' } },
  optimization,
  experiments: { outputModule: true }
};

const styles = {
  ...common,
  entry: { view: ['./style/view.raw.css', './style/chart_tools.raw.css'] },
  output: { ...output, cssFilename: '[name].css' },
  module: { rules: [{ ...sheets, type: 'css' }] },
  optimization: { minimize: false }
};

rspack([script, styles]).run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString({ preset: 'errors-only' }));
    process.exitCode = 1;
  }
});

// Bundles labextension/lib/view into one ES module and lays its style sheets beside it as one. Both
// travel to the browser over the widget's comm: the live view needs no server of its own, no CDN.
import { rspack } from '@rspack/core';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const target = path.join(here, '..', 'aml_jupyter', 'notebook', 'static');

const compiler = rspack({
  context: here,
  mode: 'production',
  target: ['web', 'es2021'],
  entry: './lib/view/index.js',
  devtool: false,
  output: {
    path: target,
    filename: 'view.js',
    module: true,
    library: { type: 'modern-module' }
  },
  experiments: { outputModule: true }
});

compiler.run((error, stats) => {
  if (error || stats.hasErrors()) {
    console.error(error ?? stats.toString({ preset: 'errors-only' }));
    process.exitCode = 1;
    return;
  }
  const sheets = ['view.css', 'chart_tools.css'].map(name => path.join(here, 'style', name));
  writeFileSync(
    path.join(target, 'view.css'),
    sheets.map(sheet => readFileSync(sheet, 'utf8')).join('\n')
  );
});

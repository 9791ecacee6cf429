// What the builder of JupyterLab extensions does not do by itself: style sheets are text, without
// their comments, in the code that needs them (`addStyles`), and names of exports are short.
module.exports = {
  target: ['web', 'es2021'],
  module: {
    rules: [
      {
        test: /\.raw\.css$/,
        type: 'asset/source',
        loader: 'builtin:lightningcss-loader',
        options: { minify: true, targets: ['chrome >= 111', 'firefox >= 113', 'safari >= 16.2'] }
      }
    ]
  },
  optimization: { mangleExports: 'size' }
};

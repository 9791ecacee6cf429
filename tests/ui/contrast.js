// The texts inside an element that stand out from what is behind them by less than 4.5 to 1.
shown => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 });
  const brush = canvas.getContext('2d', { willReadFrequently: true });
  const over = (back, colour) => {
    brush.fillStyle = `rgb(${back.join()})`;
    brush.fillRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = node => {
    const above = [];
    for (let each = node; each; each = each.parentElement) {
      above.unshift(getComputedStyle(each).backgroundColor);
    }
    return above.reduce(over, [255, 255, 255]);
  };
  const light = rgb => {
    const [r, g, b] = rgb
      .map(value => value / 255)
      .map(value => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  for (const node of shown.querySelectorAll('*')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.disabled) {
      continue;
    }
    const back = behind(node);
    const [more, less] = [light(back), light(over(back, getComputedStyle(node).color))].sort((a, b) => b - a);
    const ratio = (more + 0.05) / (less + 0.05);
    if (ratio < 4.5) {
      faint.push(`${node.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
  }
  return faint;
}

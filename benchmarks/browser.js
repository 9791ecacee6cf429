// What a page measures of itself: put into every page that a benchmark opens.
window.bench = (() => {
  // Called with the time once the frame is painted that the page's present state goes into.
  const painted = then =>
    requestAnimationFrame(() => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => then(Date.now());
      port2.postMessage(0);
    });

  const isSeen = node =>
    node.getClientRects().length > 0 && (node.tagName !== 'path' || Boolean(node.getAttribute('d')));

  // A line of bqplot has so many points; anything else says its number as text.
  const numberIn = node =>
    node === null ? 0 : (node.getAttribute('d')?.split('L').length ?? Number(node.textContent));

  const bench = {
    // Look for what is not there yet, from now on; `found` is when it was painted.
    seek(selector, text = '') {
      const there = new Set(document.querySelectorAll(selector));
      const isNew = node => !there.has(node) && node.textContent.includes(text) && isSeen(node);
      bench.sought = Date.now();
      bench.found = new Promise(resolve => {
        const look = () => {
          const all = [...document.querySelectorAll(selector)];
          painted(all.some(isNew) ? resolve : look);
        };
        look();
      });
    },

    // Note from now on when each higher number of `selector` was painted.
    follow(selector) {
      const seen = [];
      let last = 0;
      const observer = new MutationObserver(() => {
        const number = numberIn(document.querySelector(selector));
        if (number > last) {
          last = number;
          painted(time => seen.push([number, time]));
        }
      });
      const attributes = { attributes: true, attributeFilter: ['d'] };
      observer.observe(document.body, { childList: true, subtree: true, ...attributes });
      bench.followed = () => {
        observer.disconnect();
        return seen;
      };
    },

    // Count frames from now on, and pieces of work that held them up for more than 50 ms in `long`;
    // `counted` ends it and says how many frames there were a second.
    count() {
      bench.long = 0;
      const observer = new PerformanceObserver(list => (bench.long += list.getEntries().length));
      observer.observe({ type: 'longtask' });
      let [first, last, frames, going] = [0, 0, -1, true];
      const frame = time => {
        first ||= time;
        last = time;
        frames += 1;
        if (going) {
          requestAnimationFrame(frame);
        }
      };
      requestAnimationFrame(frame);
      bench.counted = () => {
        going = false;
        observer.disconnect();
        return (1000 * frames) / (last - first);
      };
    }
  };
  return bench;
})();

// Rectangles whose areas are as large as what they stand for.

import { h } from './dom.js';

// Lays out items { size } in a unit square, so that they are nearly square themselves. Items have to be sorted, the
// largest first. Returns { x, y, width, height } for each, as shares of the whole.
export function layout(items) {
  const places = [];
  const total = items.reduce((sum, item) => sum + item.size, 0);
  let [x, y, width, height, left] = [0, 0, 1, 1, total];
  let at = 0;
  while (at < items.length && left > 0) {
    const across = Math.min(width, height);
    let taken = 0;
    let row = [];
    let worst = Infinity;
    // A row takes further items as long as its most oblong one gets squarer.
    for (let next = at; next < items.length; next += 1) {
      const sum = taken + items[next].size;
      const depth = (sum / left) * (width * height) / across;
      const sides = [...row, items[next]].map((item) => {
        const along = (item.size / sum) * across;
        return Math.max(along / depth, depth / along);
      });
      const oblong = Math.max(...sides);
      if (row.length > 0 && oblong > worst) break;
      worst = oblong;
      taken = sum;
      row = [...row, items[next]];
    }
    const depth = (taken / left) * (width * height) / across;
    let along = 0;
    for (const item of row) {
      const length = (item.size / taken) * across;
      places.push(width >= height
        ? { x, y: y + along, width: depth, height: length }
        : { x: x + along, y, width: length, height: depth });
      along += length;
    }
    if (width >= height) {
      x += depth;
      width -= depth;
    } else {
      y += depth;
      height -= depth;
    }
    left -= taken;
    at += row.length;
  }
  return places;
}

// A map of items { name, size, text, href }; one that stands for many others has no `href`.
export function treemap(caption, items) {
  const sorted = items.filter((item) => item.size > 0).sort((one, other) => other.size - one.size);
  const map = h('ul', { class: 'treemap', 'aria-label': caption });
  layout(sorted).forEach((place, at) => {
    const { name, text, href } = sorted[at];
    const content = [line('strong', name), line('span', text)];
    const title = `${name}: ${text}`;
    const tile = h('li', { class: `tile tile-${href ? at % 6 : 'others'}` },
      href ? h('a', { class: 'box', href, title }, content) : h('div', { class: 'box', title }, content));
    for (const [side, share] of [['left', place.x], ['top', place.y], ['width', place.width], ['height', place.height]]) {
      tile.style[side] = `${(100 * share).toFixed(3)}%`;
    }
    map.append(tile);
  });
  return map;
}

// Characters of a text for which there has to be room: of less nobody knows what it was.
const SEEN_MIN = 6;

// A line of a box, which is empty where the box is too small for it.
function line(tag, text) {
  const content = h('span', { class: 'fits' }, text);
  content.style.minWidth = `${Math.min(text.length, SEEN_MIN)}ch`;
  return h(tag, { class: 'line-of' }, content);
}

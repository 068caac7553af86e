// What is the matter, in words, with what to do about it.

import { h, put } from './dom.js';
import { figures } from './figures.js';

// A place that says it, kept up to date until `end` is called. `well` makes what is said where nothing is the matter.
export function troublePanel(well = () => null) {
  const element = h('section', { class: 'troubles', 'aria-label': 'What is the matter' });
  let before = null;
  const draw = () => {
    const now = JSON.stringify([figures.points.length === 0, figures.role, figures.troubles]);
    if (now === before) return;
    before = now;
    // Before the first figures there is the same room as behind them.
    const [isKnown, line] = [figures.points.length > 0, well()];
    if (isKnown && figures.troubles.length > 0) put(element, figures.troubles.map(trouble));
    else put(element, isKnown || line === null ? line : h('p', { class: 'more' }, '…'));
  };
  draw();
  figures.listeners.add(draw);
  return { element, end: () => figures.listeners.delete(draw) };
}

function trouble({ title, reason, advice, refuses }) {
  return h('div', { class: `trouble${refuses === 'nothing' ? ' minor' : ''}` },
    h('h2', {}, title), h('p', {}, reason), h('p', { class: 'advice' }, advice));
}

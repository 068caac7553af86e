// What is the matter, in words, with what to do about it.

import { h, put, repeat } from './dom.js';
import { figures } from './figures.js';
import { grouped } from './format.js';
import { holders, holdersTrouble, lastHolders } from './holders.js';

// How often it is asked what holds locks; the server looks twice a second.
const HOLDERS_EVERY_MS = 2000;

// A place that says it, kept up to date until `end` is called. `well` makes what is said where nothing is the matter;
// `onHolders` is told what holds locks. That is asked for by itself: INFO waits behind some of them.
export function troublePanel(well = () => null, onHolders = () => {}) {
  const element = h('section', { class: 'troubles', 'aria-label': 'What is the matter' });
  let before = null;
  let held = holdersTrouble(lastHolders);
  const draw = () => {
    // The server tells of it itself where clients wait.
    const isTold = held === null || figures.troubles.some(({ kind }) => kind === 'locks-held');
    const all = isTold ? figures.troubles : [...figures.troubles, held];
    const now = JSON.stringify([figures.points.length === 0, figures.role, all]);
    if (now === before) return;
    before = now;
    // Before the first figures there is the same room as behind them.
    const [isKnown, line] = [figures.points.length > 0, well()];
    if (isKnown && all.length > 0) put(element, all.map(trouble));
    else put(element, isKnown || line === null ? line : h('p', { class: 'more' }, '…'));
  };
  draw();
  onHolders(lastHolders);
  figures.listeners.add(draw);
  const endAsking = repeat(HOLDERS_EVERY_MS, async () => {
    const all = await holders();
    held = holdersTrouble(all);
    draw();
    onHolders(all);
  });
  return {
    element,
    end: () => {
      endAsking();
      figures.listeners.delete(draw);
    },
  };
}

function trouble({ title, reason, advice, refuses }) {
  return h('div', { class: `trouble${refuses === 'nothing' ? ' minor' : ''}` },
    h('h2', {}, title), h('p', {}, grouped(reason)), h('p', { class: 'advice' }, grouped(advice)));
}

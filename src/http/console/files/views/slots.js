// The slots: which node serves them, and how keys are spread over them.

import { call, figures, session } from '../api.js';
import { facts, h, heading, panel, put, table } from '../dom.js';
import { average, count, percent, shown } from '../format.js';

export const title = 'Slots';

const SLOTS = 16384;
const SIDE = 128;
const PIXELS = 4;
const LARGEST = 20;

// Keys are not well spread where there are so many and a slot has more than this share of all.
const KEYS_JUDGED = 10_000;
const SHARE_MAX = 0.1;

const isCrowded = (most, all) => all >= KEYS_JUDGED && most > SHARE_MAX * all;

// What to do where a slot is crowded; `node` says what else its keys share.
function crowded(node) {
  return h('p', { class: 'advice bad' }, 'A slot has more than a tenth of all keys. A hash tag (what is between { and } in a name) that many keys share keeps them in one slot, '
    + `whose lock ${node} they share: use more tags, such as one for each user or order.`);
}

export async function show(place) {
  put(place, heading('Slots'));
  if (session.cluster) await showCluster(place);
  else await showAlone(place);
}

async function showAlone(place) {
  const { metrics } = await figures(['kvarts_slots_with_keys', 'kvarts_slot_keys_max', 'redis_db_keys']);
  const of = (name) => new Map((metrics[name] ?? []).map?.(([labels, value]) => [labels.db, value]));
  const [used, largest, keys] = ['kvarts_slots_with_keys', 'kvarts_slot_keys_max', 'redis_db_keys'].map(of);
  const inAll = [...keys.values()].reduce((sum, one) => sum + one, 0);
  const isFullest = (most) => isCrowded(most, inAll);
  const rows = [...used].filter(([, slots]) => slots > 0).map(([database, slots]) => {
    const [all, most] = [keys.get(database) ?? 0, largest.get(database) ?? 0];
    return [database, count(all), count(slots), average(all / slots), count(most),
      isFullest(most) ? h('span', { class: 'bad' }, `${percent((100 * most) / inAll)} of all keys in a slot`) : 'well'];
  });
  const number = (name) => ({ name, number: true });
  place.append(panel('Keys by slot',
    h('p', {}, 'This server is no cluster; its keys lie in 16,384 slots all the same, each with a lock of its own.'),
    table('Databases', ['Database', number('Keys'), number('Slots with keys'), number('Keys a slot'), number('Most in a slot'), 'Spread'], rows, 'There are no keys.'),
    [...largest.values()].some(isFullest) ? crowded('and, in a cluster, whose node') : null));
}

async function showCluster(place) {
  const [shards, stats] = await Promise.all([call('CLUSTER', 'SHARDS'), call('CLUSTER', 'SLOT-STATS', 'SLOTSRANGE', 0, SLOTS - 1)]);
  const keys = new Array(SLOTS).fill(0);
  for (const [slot, of] of stats) keys[slot] = Number(of.get('key-count'));
  const all = keys.reduce((sum, one) => sum + one, 0);
  const most = Math.max(...keys);
  const used = keys.filter((one) => one > 0).length;
  const nodes = shards.flatMap((shard) => {
    const slots = shard.get('slots');
    const ranges = slots.flatMap((start, at) => (at % 2 === 0 ? [`${start}–${slots[at + 1]}`] : [])).join(', ');
    return shard.get('nodes').map((node) => [shown(node.get('id')).slice(0, 8), `${node.get('endpoint')}:${node.get('port') ?? node.get('tls-port')}`, node.get('role'), node.get('health'), ranges]);
  });
  const largest = keys.map((value, slot) => [slot, value]).filter(([, value]) => value > 0)
    .sort((one, other) => other[1] - one[1]).slice(0, LARGEST);
  place.append(
    facts([
      ['Keys', count(all)], ['Slots with keys', count(used)], ['Keys a slot', used ? average(all / used) : '–'],
      ['Most in a slot', isCrowded(most, all) ? `${count(most)}, ${percent((100 * most) / all)} of all` : count(most), isCrowded(most, all)],
    ]),
    ...(isCrowded(most, all) ? [crowded('and node')] : []),
    panel('Nodes', table('Nodes', ['Node', 'Address', 'Role', 'State', 'Slots'], nodes)),
    panel('Map', h('p', { class: 'more' }, 'A square for each slot, 128 in a row; the more keys, the stronger its colour.'), map(keys, most)),
    h('div', { class: 'columns' }, panel('Fullest slots', table('Fullest slots', [{ name: 'Slot', number: true }, { name: 'Keys', number: true }],
      largest.map((row) => row.map(count)), 'There are no keys.'))));
}

function map(keys, most) {
  const side = SIDE * PIXELS;
  const said = h('p', { class: 'more' }, 'Point at a slot.');
  const canvas = h('canvas', { class: 'slot-map', width: side, height: side, role: 'img', 'aria-label': `Keys in each of ${SLOTS} slots; the fullest has ${most}` });
  const pen = canvas.getContext('2d');
  // As it is now: the property itself names that of light and of dark.
  const colour = getComputedStyle(document.querySelector('.mark')).backgroundColor;
  keys.forEach((value, slot) => {
    pen.globalAlpha = value === 0 ? 0.06 : 0.25 + 0.75 * (Math.log1p(value) / Math.log1p(most));
    pen.fillStyle = colour;
    pen.fillRect((slot % SIDE) * PIXELS, Math.floor(slot / SIDE) * PIXELS, PIXELS - 1, PIXELS - 1);
  });
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (value, size) => Math.min(SIDE - 1, Math.max(0, Math.floor((value / size) * SIDE)));
    const slot = at(event.offsetY, box.height) * SIDE + at(event.offsetX, box.width);
    said.textContent = `Slot ${slot}: ${count(keys[slot])} keys.`;
  });
  return h('div', {}, canvas, said);
}

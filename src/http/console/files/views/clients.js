// Who is connected, and what they do.

import { call, mayChange } from '../api.js';
import { CHANGE, attempt, button, confirmed, h, heading, inPlace, put, repeat, table } from '../dom.js';
import { bytes, count, span } from '../format.js';

export const title = 'Clients';

const EVERY_MS = 3000;
const SHOWN_MAX = 300;

const ORDERS = {
  'tot-mem': 'Memory', idle: 'Idle time', age: 'Age', omem: 'Unread replies', 'tot-cmds': 'Commands', id: 'Number',
};

export function show(place) {
  const filter = h('input', { id: 'filter', type: 'search', autocomplete: 'off', placeholder: 'address, name, user, command', spellcheck: 'false' });
  const order = h('select', { id: 'order' }, Object.entries(ORDERS).map(([field, text]) => h('option', { value: field }, text)));
  const list = h('div', {});
  let all = [];
  const draw = () => drawClients(list, all, filter.value, order.value, load);
  const load = () => inPlace(list, null, async () => {
    all = parse(await call('CLIENT', 'LIST'));
    // What has the focus would lose it.
    if (!list.contains(document.activeElement)) draw();
  });
  filter.addEventListener('input', draw);
  order.addEventListener('change', draw);
  put(place, heading('Clients'),
    h('div', { class: 'row' },
      h('label', { class: 'field grow', for: 'filter' }, 'Filter', filter),
      h('label', { class: 'field', for: 'order' }, 'Most first', order)),
    list);
  return repeat(EVERY_MS, load);
}

function parse(text) {
  return text.split('\n').filter(Boolean).map((line) =>
    Object.fromEntries(line.split(' ').map((field) => [field.slice(0, field.indexOf('=')), field.slice(field.indexOf('=') + 1)])));
}

function drawClients(list, all, text, order, load) {
  const wanted = all
    .filter((one) => ['addr', 'name', 'user', 'cmd', 'lib-name', 'id'].some((field) => (one[field] ?? '').includes(text)))
    .sort((one, other) => Number(other[order]) - Number(one[order]));
  const mayKill = mayChange('client|kill');
  const rows = wanted.slice(0, SHOWN_MAX).map((one) => {
    const cells = [
      one.id, one.addr, one.name || '–', one.user, one.cmd.replace('|', ' '), one.flags, one.db, span(one.age), span(one.idle),
      bytes(one['tot-mem']), bytes(Number(one.omem)), [one['lib-name'], one['lib-ver']].filter(Boolean).join(' ') || '–',
    ];
    if (!mayKill) return cells;
    return [...cells, button('Kill', async () => {
      const what = `The connection of ${one.addr}${one.name ? ` (${one.name})` : ''} is closed.`;
      if (!await confirmed('Kill this client?', what, 'Kill')) return;
      await attempt(() => call('CLIENT', 'KILL', 'ID', one.id), 'Killed.');
      load();
    }, { class: 'danger', 'aria-label': `Kill client ${one.id}` })];
  });
  const number = (name) => ({ name, number: true });
  const columns = [number('Number'), { name: 'Address', fixed: true }, 'Name', 'User', { name: 'Command', fixed: true }, 'Flags', number('Database'), number('Age'), number('Idle'),
    number('Memory'), number('Unread'), 'Library'];
  put(list,
    h('p', { class: 'more' }, `${count(wanted.length)} of ${count(all.length)} clients${wanted.length > SHOWN_MAX ? `, the first ${SHOWN_MAX} shown` : ''}.`),
    table('Clients', mayKill ? [...columns, CHANGE] : columns, rows, 'No client passes the filter.'));
}

// What keys are used most, which are largest, and what they take by prefix.

import { Refused, run, session } from '../api.js';
import { attempt, button, h, heading, panel, put, table } from '../dom.js';
import { bytes, count, digits, shown } from '../format.js';
import { treemap } from '../treemap.js';
import { link } from './keys.js';

export const title = 'Hot and big keys';

const PREFIXES = 60;

export async function show(place, { query }) {
  const depth = h('select', { id: 'depth' }, [1, 2, 3].map((one) => h('option', { value: one }, one)));
  const separator = h('input', { id: 'separator', size: 2, maxlength: 4, value: query.get('separator') ?? ':' });
  const prefixes = h('div', {});
  const keys = h('div', { class: 'columns' });
  depth.value = query.get('depth') ?? '1';
  const load = () => attempt(() => Promise.all([
    showPrefixes(prefixes, depth.value, separator.value || ':'), showKeys(keys),
  ]));
  put(place,
    heading('Hot and big keys', button('Reload', load)),
    panel('Memory by prefix',
      h('div', { class: 'row' },
        h('label', { class: 'field-inline', for: 'depth' }, 'Parts', depth),
        h('label', { class: 'field-inline', for: 'separator' }, 'Separator', separator)),
      prefixes),
    keys);
  depth.addEventListener('change', load);
  separator.addEventListener('change', load);
  await load();
}

async function showPrefixes(place, depth, separator) {
  const [found] = await run([['KVARTS', 'PREFIXES', 'DEPTH', depth, 'SEPARATOR', separator, 'COUNT', PREFIXES]]);
  if (found instanceof Refused) {
    put(place, h('p', { class: 'empty' }, found.message));
    return;
  }
  const of = found.map((one) => ({
    prefix: one.get('prefix'), keys: Number(one.get('keys')), size: Number(one.get('bytes')),
    error: one.get('bytes-error'), accesses: Number(one.get('accesses-per-second')), ends: Number(one.get('expired-per-second')),
  }));
  const href = (prefix) => `#/keys?${new URLSearchParams({ db: session.database, match: `${literal(prefix)}*` })}`;
  const name = (prefix) => shown(prefix) || '(no separator)';
  const number = (text) => ({ name: text, number: true });
  put(place,
    of.length === 0 ? null : treemap('Memory by prefix', of.map(({ prefix, size, keys }) => ({
      name: name(prefix), size, text: `${bytes(size)}, ${count(keys)} keys`, href: href(prefix),
    }))),
    table('Prefixes', [{ name: 'Prefix', wide: true }, number('Keys'), number('Memory'), number('Accesses/s'), number('Ending/s')],
      of.map((one) => [h('a', { href: href(one.prefix) }, name(one.prefix)), count(one.keys), bytes(one.size), digits(one.accesses), digits(one.ends)]),
      'No keys are sampled in this database yet, or the directive key-sizes is off.'));
}

// A text as a pattern that matches it and nothing else.
function literal(word) {
  return typeof word === 'string' ? word.replace(/[\\*?[\]]/g, '\\$&') : '';
}

async function showKeys(place) {
  const [hot, big] = await run([['HOTKEYS', 'GET'], ['KVARTS', 'BIGKEYS', 'COUNT', 20]]);
  const bigTable = (caption, keys) => table(caption,
    [{ name: 'Key', wide: true }, 'Type', { name: 'Memory', number: true }, { name: 'Elements', number: true }],
    keys.map((one) => [keyLink(one), one.get('type'), bytes(one.get('bytes')), count(one.get('elements'))]),
    'No large keys.');
  put(place,
    panel('Hot keys', hot instanceof Refused ? h('p', { class: 'empty' }, hot.message) : hotKeys(hot)),
    ...(big instanceof Refused ? [panel('Largest keys', h('p', { class: 'empty' }, big.message))] : [
      panel('Largest by memory', bigTable('Largest keys by memory', big.get('by-bytes') ?? [])),
      panel('Largest by elements', bigTable('Largest keys by elements', big.get('by-elements') ?? [])),
    ]));
}

// HOTKEYS GET answers the last window's keys, or where a session was begun what that found.
function hotKeys(reply) {
  const entries = Array.isArray(reply) ? reply : [];
  if (entries.length > 0 && entries.every((one) => typeof one?.get === 'function' && one.get('qps') !== undefined)) {
    return table('Hot keys', [{ name: 'Key', wide: true }, { name: 'Accesses/s', number: true }],
      entries.map((one) => [keyLink(one), digits(Number(one.get('qps')))]));
  }
  if (entries.length === 0) return h('p', { class: 'empty' }, 'No key was used much in the last seconds, or they are not looked for (hotkeys-top-k).');
  const session = entries.length === 1 && typeof entries[0]?.get === 'function' ? entries[0] : entries;
  const lists = session.filter?.(([name, value]) => String(name).startsWith('by-') && Array.isArray(value)) ?? [];
  return h('div', {}, h('p', { class: 'more' }, 'What the session of HOTKEYS START has found.'),
    lists.map(([name, value]) => table(name, [{ name: 'Key', wide: true }, { name: 'Weight', number: true }],
      value.flatMap((key, at) => (at % 2 === 0 ? [[shown(key), count(value[at + 1])]] : [])))));
}

function keyLink(one) {
  const [key, database] = [one.get('key'), Number(one.get('db') ?? session.database)];
  const href = database === session.database ? link(key) : link(key).replace(/db=\d+$/, `db=${database}`);
  return h('span', {}, h('a', { class: 'key', href }, shown(key) || '(empty)'), database === session.database ? null : ` in ${database}`);
}

// What keys are used most, which are largest, and what they take by prefix.

import { call, figures, mayChange, Refused, run, session } from '../api.js';
import { attempt, button, confirmed, facts, failure, h, heading, inTurn, inWords, panel, put, table } from '../dom.js';
import { bytes, count, counted, cut, digits, micros, shown, span, time } from '../format.js';
import { treemap } from '../treemap.js';
import { link } from './keys.js';

export const title = 'Hot and big keys';

// Prefixes that are shown; those that are asked for, as of the rest it is told what they take together.
const PREFIXES = 60;
const PREFIXES_KNOWN = 2000;
// Characters of a key or prefix that are shown; all of it is its title.
const NAME_MAX = 80;

export async function show(place, { query }) {
  const depth = h('select', { id: 'depth' }, [1, 2, 3].map((one) => h('option', { value: one }, one)));
  const separator = h('input', { id: 'separator', size: 2, maxlength: 4, value: query.get('separator') ?? ':' });
  const prefixes = h('div', {});
  const keys = h('div', { class: 'columns' });
  depth.value = query.get('depth') ?? '1';
  const load = () => inTurn(
    [prefixes, null, () => showPrefixes(prefixes, depth.value, separator.value || ':', load)],
    [keys, null, () => showKeys(keys, load)],
  );
  put(place,
    heading('Hot and big keys', button('Reload', load)),
    session.allKeys ? null : h('p', { class: 'more' }, 'Only keys that you may read are shown and counted.'),
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

async function showPrefixes(place, depth, separator, again) {
  const [found] = await askOfSizes([['KVARTS', 'PREFIXES', 'DEPTH', depth, 'SEPARATOR', separator, 'COUNT', PREFIXES_KNOWN]]);
  if (found instanceof Refused) {
    put(place, sizesAreMissing(found, again));
    return;
  }
  const all = found.map((one) => ({
    prefix: one.get('prefix'), keys: Number(one.get('keys')), size: Number(one.get('bytes')),
    keysError: Number(one.get('keys-error')), sizeError: Number(one.get('bytes-error')), accesses: Number(one.get('accesses-per-second')), ends: Number(one.get('expired-per-second')),
  }));
  const href = (prefix) => `#/keys?${new URLSearchParams({ db: session.database, match: `${literal(prefix)}*` })}`;
  const name = (prefix) => shown(prefix) || '(no separator)';
  const number = (text) => ({ name: text, number: true });
  // Of large keyspaces not all keys are known: what is told of them may be off by so much.
  const within = (text, error, format) => (error > 0 ? `${text} ± ${format(error)}` : text);
  const keysOf = ({ keys, keysError }) => within(count(keys), keysError, count);
  const sizeOf = ({ size, sizeError }) => within(bytes(size), sizeError, bytes);
  const told = (one) => `${sizeOf(one)}, ${keysOf(one)} ${one.keys === 1 && one.keysError === 0 ? 'key' : 'keys'}`;
  const [of, others] = [all.slice(0, PREFIXES), all.slice(PREFIXES)];
  const areAllKnown = all.length < PREFIXES_KNOWN;
  const boxes = of.map((one) => ({ name: name(one.prefix), size: one.size, text: told(one), href: href(one.prefix) }));
  if (others.length > 0 && areAllKnown) boxes.push({ name: counted(others.length, 'other'), ...together(others, told) });
  put(place,
    others.length === 0 ? null : h('p', { class: 'more' }, areAllKnown ? `${PREFIXES} of ${count(all.length)} prefixes, those that take most.`
      : `${PREFIXES} of more than ${count(PREFIXES_KNOWN)} prefixes, those that take most; the others are not drawn.`),
    of.length === 0 ? null : treemap('Memory by prefix', boxes),
    table('Prefixes', [{ name: 'Prefix', wide: true }, number('Keys'), number('Memory'), number('Accesses/s'), number('Ending/s')],
      of.map((one) => [h('a', { href: href(one.prefix), title: name(one.prefix) }, cut(name(one.prefix), NAME_MAX)), keysOf(one), sizeOf(one), digits(one.accesses), digits(one.ends)]),
      'There are no keys in this database.'));
}

// What prefixes take together. Their errors are those of different keys, so their squares add up.
function together(prefixes, told) {
  const sum = (field) => prefixes.reduce((so, one) => so + one[field], 0);
  const error = (field) => Math.ceil(Math.hypot(...prefixes.map((one) => one[field])));
  const all = { keys: sum('keys'), size: sum('size'), keysError: error('keysError'), sizeError: error('sizeError') };
  return { size: all.size, text: told(all) };
}

// Runs commands that tell of sizes, unless these are not kept: to ask would be counted as a command that failed.
async function askOfSizes(commands) {
  const [kept] = await run([['CONFIG', 'GET', 'key-sizes']]);
  const isOff = !(kept instanceof Refused) && kept.get('key-sizes') === 'no';
  return isOff ? commands.map(() => new Refused('ERR sizes of keys are not kept')) : run(commands);
}

// Why there are no sizes, with what helps.
function sizesAreMissing(refused, again) {
  if (refused.message.startsWith('ERR sizes of keys are not known yet')) {
    return h('p', { class: 'empty' }, 'All keys are being looked at, as key-sizes was switched on a moment ago: reload in a few seconds.');
  }
  if (!refused.message.startsWith('ERR sizes of keys are not kept')) return h('p', { class: 'empty' }, inWords(refused));
  return h('div', {}, h('p', { class: 'empty' }, 'They are not kept: key-sizes is off.'),
    mayChange('config|set') ? button('Keep sizes', async () => {
      if (await attempt(() => call('CONFIG', 'SET', 'key-sizes', 'yes'), 'They are kept from now on: reload in a few seconds.')) again();
    }) : null);
}

// A text as a pattern that matches it and nothing else.
function literal(word) {
  return typeof word === 'string' ? word.replace(/[\\*?[\]]/g, '\\$&') : '';
}

async function showKeys(place, again) {
  const [[hot], [big]] = await Promise.all([run([['HOTKEYS', 'GET']]), askOfSizes([['KVARTS', 'BIGKEYS', 'COUNT', 20]])]);
  const bigTable = (caption, keys, empty = 'No large keys.') => table(caption,
    [{ name: 'Key', wide: true }, 'Type', { name: 'Memory', number: true }, { name: 'Elements', number: true }],
    keys.map((one) => [keyLink(one), one.get('type'), bytes(one.get('bytes')), one.get('type') === 'string' ? '–' : count(one.get('elements'))]),
    empty);
  put(place,
    ...(hot instanceof Refused ? [panel('Hot keys', failure(hot))] : await hotPanels(hot, again)),
    ...(big instanceof Refused ? [panel('Largest keys', sizesAreMissing(big, again))] : [
      panel('Largest by memory', bigTable('Largest keys by memory', big.get('by-bytes') ?? [])),
      panel('Largest by elements', bigTable('Largest keys by elements', big.get('by-elements') ?? [], 'No keys with elements.')),
    ]));
}

// HOTKEYS GET answers the last window's keys (null where they are not looked for), or where a session was begun what that
// has found. It hides the window's keys then, which /metrics has all the same.
async function hotPanels(reply, again) {
  const found = Array.isArray(reply) && reply.length === 1 && reply[0].get?.('tracking-active') !== undefined ? reply[0] : null;
  if (found === null) return [panel('Hot keys', reply === null ? hotKeysAreOff(again) : windowTable(reply))];
  const ofSession = panel('Hot keys by session', ...sessionTables(found, again));
  // These are told to who may read all keys.
  if (!session.allKeys) return [ofSession];
  const { metrics } = await figures(['kvarts_hot_key_accesses_per_second']);
  const inWindow = (metrics.kvarts_hot_key_accesses_per_second ?? []).map?.(([labels, rate]) => [labelLink(labels), digits(rate)]) ?? [];
  const hidden = h('p', { class: 'more' },
    'Of the last seconds. HOTKEYS GET does not tell of them, as it answers with the session until HOTKEYS RESET forgets it.');
  return [
    ofSession,
    panel('Hot keys', hidden, table('Hot keys', HOT_COLUMNS, inWindow, 'None was used much in the last seconds, or they are not looked for (hotkeys-top-k).')),
  ];
}

const HOT_COLUMNS = [{ name: 'Key', wide: true }, { name: 'Accesses/s', number: true }];

function hotKeysAreOff(again) {
  return h('div', {}, h('p', { class: 'empty' }, 'They are not looked for: hotkeys-top-k is 0.'),
    mayChange('config|set') ? button('Look for 16', async () => {
      if (await attempt(() => call('CONFIG', 'SET', 'hotkeys-top-k', 16), 'They are looked for: reload in a few seconds.')) again();
    }) : null);
}

function windowTable(entries) {
  return table('Hot keys', HOT_COLUMNS, entries.map((one) => [keyLink(one), digits(Number(one.get('qps')))]),
    'They are looked for, and none was used much in the last seconds.');
}

// What sessions weigh keys by.
const WEIGHTS = {
  'by-cpu-time-us': ['By processor time', 'Time', micros],
  'by-net-bytes': ['By network traffic', 'Bytes', bytes],
};

// What a session has found, of all databases: which one a key is of it does not say.
function sessionTables(session, again) {
  const runs = session.get('tracking-active') === 1;
  const of = facts([
    ['Session', runs ? 'runs' : 'has ended'], ['Begun (UTC)', time(session.get('collection-start-time-unix-ms') / 1000)],
    ['Took', span(session.get('collection-duration-ms') / 1000)], ['Commands', session.get('sample-ratio') > 1 ? `one in ${count(session.get('sample-ratio'))}` : 'all'],
  ]);
  const tables = Object.entries(WEIGHTS).flatMap(([field, [title, unit, format]]) => {
    const flat = session.get(field);
    if (!Array.isArray(flat)) return [];
    const rows = flat.flatMap((key, at) => (at % 2 === 0 ? [[keyLink({ get: (name) => (name === 'key' ? key : undefined) }), format(flat[at + 1])]] : []));
    return [h('h3', {}, title), table(`Hot keys: ${title}`, [{ name: 'Key', wide: true }, { name: unit, number: true }], rows, 'No key yet.')];
  });
  const ends = runs && mayChange('hotkeys|stop')
    ? button('Stop', async () => { if (await attempt(() => call('HOTKEYS', 'STOP'), 'Stopped.')) again(); }) : null;
  const forgets = !runs && mayChange('hotkeys|reset') ? button('Forget', async () => {
    if (!await confirmed('Forget the session?', 'HOTKEYS RESET forgets what it has found, and what was found by hotkeys-top-k so far.', 'Forget')) return;
    if (await attempt(() => call('HOTKEYS', 'RESET'), 'Forgotten.')) again();
  }) : null;
  return [of, ...tables, h('div', { class: 'row end' }, ends, forgets)];
}

// A key as /metrics names it: cut and escaped, so that not each leads to its value.
function labelLink({ key, db }) {
  const database = Number(db.slice(2));
  // One that is cut has as many bytes, or a character less.
  const isWhole = new TextEncoder().encode(key).length < 97 && !key.includes('\\');
  return isWhole ? keyLink({ get: (name) => ({ key, db: database }[name]) }) : h('span', { class: 'key' }, key);
}

function keyLink(one) {
  const [key, database] = [one.get('key'), Number(one.get('db') ?? session.database)];
  const href = database === session.database ? link(key) : link(key).replace(/db=\d+$/, `db=${database}`);
  const name = shown(key) || '(empty)';
  return h('span', {}, h('a', { class: 'key', href, title: name.length > NAME_MAX ? name : null }, cut(name, NAME_MAX)), database === session.database ? null : ` in ${database}`);
}

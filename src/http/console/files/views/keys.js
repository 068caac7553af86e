// The keys of a database: found by pattern and type, and each with its value.

import { call, may, mayChange, Refused, run, session } from '../api.js';
import { asked, attempt, button, failure, h, heading, notAllowed, put, table } from '../dom.js';
import { bytes, count, decoded, encoded, shown, ttl } from '../format.js';
import { showValue } from '../value.js';

export const title = 'Keys';

// Keys of a page, and how many are looked at for it before it is shown with fewer.
const PAGE = 100;
const LOOKED_FIRST = 100;
const LOOKED_AT_ONCE = 5000;
const LOOKED_MAX = 100000;

const TYPES = ['', 'string', 'list', 'hash', 'set', 'zset', 'stream'];

const COLUMNS = [{ name: 'Key', wide: true }, 'Type', { name: 'Ends in', fixed: true }, { name: 'Memory', number: true }];

// The last search, so that the way back from a key leads to where it was.
const found = { pattern: '*', type: '', database: -1, cursor: '0', looked: 0, rows: [], isWhole: false, name: null };

export function show(place, { rest, query }) {
  if (rest.length > 0) {
    const key = decoded(rest.join('/'));
    return showValue(place, key);
  }
  return showList(place, query);
}

export function link(key) {
  return `#/keys/${encoded(key)}?db=${session.database}`;
}

async function showList(place, query) {
  if (!may('scan')) {
    put(place, heading('Keys', mayChange('set') ? button('New key', newKey) : null), byName(),
      h('p', { class: 'denied' }, `${notAllowed('scan')} A key is shown whose name you give.`));
    return;
  }
  const pattern = h('input', { id: 'pattern', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'user:*' });
  const type = h('select', { id: 'type' }, TYPES.map((name) => h('option', { value: name }, name || 'all types')));
  pattern.value = query.get('match') ?? (found.database === session.database ? found.pattern : '*');
  type.value = query.get('type') ?? (found.database === session.database ? found.type : '');
  const results = h('div', {});
  const form = h('form', { class: 'row', role: 'search', onsubmit: (event) => {
    event.preventDefault();
    const wanted = new URLSearchParams({ db: session.database, match: pattern.value || '*', type: type.value });
    history.replaceState(null, '', `#/keys?${wanted}`);
    search(results, pattern.value || '*', type.value);
  } },
  h('label', { class: 'field grow', for: 'pattern' }, 'Pattern', pattern),
  h('label', { class: 'field', for: 'type' }, 'Type', type),
  h('button', { type: 'submit', class: 'primary' }, 'Search'),
  mayChange('set') ? button('New key', newKey) : null);
  put(place, heading('Keys'), form, results);
  const isSame = found.database === session.database && found.pattern === pattern.value && found.type === type.value;
  if (isSame && found.rows.length > 0) draw(results);
  else await search(results, pattern.value, type.value);
}

// What leads to a key by its name, for whoever may not look for keys.
function byName() {
  const name = h('input', { id: 'key-name', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'user:7' });
  return h('form', { class: 'row', role: 'search', onsubmit: (event) => {
    event.preventDefault();
    if (name.value !== '') location.hash = link(name.value);
  } },
  h('label', { class: 'field grow', for: 'key-name' }, 'Name of a key', name),
  h('button', { type: 'submit', class: 'primary' }, 'Show'));
}

async function search(results, pattern, type) {
  Object.assign(found, { pattern, type, database: session.database, cursor: '0', looked: 0, rows: [], isWhole: false, name: nameIn(pattern) });
  put(results, h('p', { class: 'empty' }, 'Looking…'));
  await (found.name === null ? more(results) : lookUp(results));
}

// The only name that a pattern matches; null where there are wildcards in it. A backslash takes the meaning of what is behind it,
// and stands for itself at the end.
function nameIn(pattern) {
  if (/[*?[]/.test(pattern.replace(/\\./gsu, ''))) return null;
  return pattern.replace(/\\(.)/gsu, '$1');
}

// Asks for the key of a name, without looking through all of them.
async function lookUp(results) {
  try {
    const [there, type] = await run([['EXISTS', found.name], ['TYPE', found.name]]);
    if (type instanceof Refused && there instanceof Refused) throw type;
    const isThere = there instanceof Refused ? type !== 'none' : there === 1;
    const rows = isThere ? await described([found.name]) : [];
    found.rows = rows.filter((row) => found.type === '' || row.type === found.type);
    found.isWhole = true;
  } catch (error) {
    put(results, failure(error));
    return;
  }
  draw(results);
}

// Looks for the next page.
async function more(results) {
  const options = found.type ? ['TYPE', found.type] : [];
  const names = [];
  let looked = 0;
  let step = LOOKED_FIRST;
  const search = found.cursor;
  try {
    do {
      const [cursor, some] = await call('SCAN', found.cursor, 'MATCH', found.pattern, 'COUNT', step, ...options);
      found.cursor = cursor;
      names.push(...some);
      looked += step;
      // Few match: larger steps, so that they are found soon.
      step = Math.min(LOOKED_AT_ONCE, 2 * step);
    } while (found.cursor !== '0' && names.length < PAGE && looked < LOOKED_MAX);
    found.looked += looked;
    found.isWhole = found.cursor === '0';
    found.rows.push(...await described(names));
    found.total = await call('DBSIZE');
  } catch (error) {
    found.cursor = search;
    put(results, failure(error));
    return;
  }
  draw(results);
}

// What is known of keys: some may have ended meanwhile.
async function described(names) {
  const rows = [];
  for (let at = 0; at < names.length; at += 1000) {
    const some = names.slice(at, at + 1000);
    const replies = await run(some.flatMap((name) => [['TYPE', name], ['PTTL', name], ['MEMORY', 'USAGE', name]]));
    some.forEach((key, place) => {
      const [type, ms, size] = replies.slice(3 * place, 3 * place + 3).map((reply) => (reply instanceof Refused ? null : reply));
      if (type !== 'none') rows.push({ key, type, ms, size });
    });
  }
  return rows;
}

function draw(results) {
  const rows = found.rows.map(({ key, type, ms, size }) => [
    h('a', { href: link(key), class: 'key' }, shown(key) || '(empty)'),
    type ?? '–', ms === null ? '–' : ttl(ms), size === null ? '–' : bytes(size),
  ]);
  if (found.name !== null) {
    put(results,
      h('p', { class: 'more' }, rows.length > 0 ? 'The key of this name. * and ? in a pattern find others.'
        : `There is no such key${found.type === '' ? '' : ' of this type'} in database ${found.database}. * and ? in a pattern find names of which this is a part.`),
      rows.length > 0 ? table('Keys', COLUMNS, rows) : null);
    return;
  }
  const seen = found.isWhole ? 'all' : `about ${count(Math.min(found.looked, found.total))} of ${count(found.total)}`;
  put(results,
    h('p', { class: 'more' }, `${count(rows.length)} found; ${seen} keys of database ${found.database} looked at.`),
    table('Keys', COLUMNS, rows, 'No key matches.'),
    found.isWhole ? null : button('More', async (event) => {
      event.target.disabled = true;
      await more(results);
    }, { class: 'more-keys' }));
}

async function newKey() {
  const given = await asked('New key', [{ name: 'key', label: 'Key' }, { name: 'value', label: 'Value (a string)', lines: 4 }], 'Create');
  if (given === null || given.key === '') return;
  const isMade = await attempt(async () => {
    const made = await call('SET', given.key, given.value, 'NX');
    if (made === null) throw new Refused('There is a key of this name already.');
  }, 'Created.');
  if (isMade) location.hash = link(given.key);
}

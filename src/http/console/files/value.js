// One key with its value: shown by type, in pages, and changed where the user wants and may.

import { Changed, call, callForPage, callIfSame, may, mayChange, Refused, run, session } from './api.js';
import { CHANGE, asked, attempt, button, confirmed, facts, h, note, put, table } from './dom.js';
import { bytes, count, cut, shown, span, time, ttl } from './format.js';

const PAGE = 100;
const TEXT_PAGE_BYTES = 16384;

// How values of each type are shown: `size` is the command that counts, `page(key, at)` reads a page from a place that `null`
// begins and answers { rows, next }, `next` being the place of the next page or null. A row may have `ms`, when it ends. `further(key)`
// makes what is shown below. The rest makes rows and changes; `uses` names the commands of these, so that nobody is offered what
// he may not do.
const KINDS = {
  string: { size: 'STRLEN', sizeName: 'Bytes' },
  list: {
    uses: { edit: 'lset', remove: 'lrem', add: 'rpush' },
    size: 'LLEN', sizeName: 'Elements', columns: [{ name: 'Index', number: true }, { name: 'Element', wide: true }],
    async page(key, at) {
      const start = at ?? 0;
      const elements = await callForPage('LRANGE', key, start, start + PAGE - 1);
      return {
        rows: elements.map((element, place) => ({
          cells: [count(start + place), element],
          edit: isWhole(element) && (() => change(element, 'Element', (text, was) => callIfSame(key, ['LINDEX', key, start + place], was, 'LSET', key, start + place, text))),
          remove: isWhole(element) && (() => call('LREM', key, 1, element)),
          removes: 'The first element that is equal to it is removed.',
        })),
        next: elements.length === PAGE ? start + PAGE : null,
      };
    },
    add: [[{ name: 'value', label: 'Element, put at the end', lines: 4 }], (key, { value }) => call('RPUSH', key, value)],
  },
  hash: {
    uses: { edit: 'hsetex', remove: 'hdel', add: 'hset' },
    size: 'HLEN', sizeName: 'Fields', columns: ['Field', { name: 'Value', wide: true }],
    async page(key, at) {
      const [cursor, flat] = await callForPage('HSCAN', key, at ?? 0, 'COUNT', PAGE);
      const fields = pairs(flat);
      const ends = await endsOf(fields.map(([field]) => field), 'HPTTL', key, 'FIELDS');
      return {
        rows: fields.map(([field, value]) => ({
          cells: [field, value], ms: ends.get(field),
          edit: isWhole(field) && isWhole(value) && (() => change(value, `Value of ${shown(field)}`, (text, was) => setField(key, field, text, was))),
          remove: isWhole(field) && (() => call('HDEL', key, field)),
        })),
        next: cursor === '0' ? null : cursor,
      };
    },
    add: [
      [{ name: 'field', label: 'Field' }, { name: 'value', label: 'Value', lines: 4 }],
      (key, { field, value }) => call('HSET', key, field, value),
    ],
  },
  set: {
    uses: { remove: 'srem', add: 'sadd' },
    size: 'SCARD', sizeName: 'Members', columns: [{ name: 'Member', wide: true }],
    async page(key, at) {
      const [cursor, members] = await callForPage('SSCAN', key, at ?? 0, 'COUNT', PAGE);
      const ends = await endsOf(members, 'SPTTL', key, 'MEMBERS');
      return {
        rows: members.map((member) => ({ cells: [member], ms: ends.get(member), remove: isWhole(member) && (() => call('SREM', key, member)) })),
        next: cursor === '0' ? null : cursor,
      };
    },
    add: [[{ name: 'member', label: 'Member' }], (key, { member }) => call('SADD', key, member)],
  },
  zset: {
    uses: { edit: 'zadd', remove: 'zrem', add: 'zadd' },
    size: 'ZCARD', sizeName: 'Members', columns: [{ name: 'Score', number: true }, { name: 'Member', wide: true }],
    async page(key, at) {
      const start = at ?? 0;
      const members = await callForPage('ZRANGE', key, start, start + PAGE - 1, 'WITHSCORES');
      return {
        rows: members.map(([member, score]) => ({
          cells: [String(score), member],
          edit: isWhole(member) && (() => change(String(score), `Score of ${shown(member)}`,
            (text, was) => callIfSame(key, ['ZSCORE', key, member], { double: String(was) }, 'ZADD', key, text, member))),
          remove: isWhole(member) && (() => call('ZREM', key, member)),
        })),
        next: members.length === PAGE ? start + PAGE : null,
      };
    },
    add: [
      [{ name: 'score', label: 'Score', value: '0', type: 'number' }, { name: 'member', label: 'Member' }],
      (key, { score, member }) => call('ZADD', key, score, member),
    ],
  },
  stream: {
    uses: { remove: 'xdel', add: 'xadd' },
    size: 'XLEN', sizeName: 'Entries', columns: [{ name: 'Entry', fixed: true }, { name: 'Time (UTC)', fixed: true }, { name: 'Fields', wide: true }],
    async page(key, at) {
      const entries = await callForPage('XREVRANGE', key, at ?? '+', '-', 'COUNT', PAGE);
      return {
        rows: entries.map(([id, fields]) => ({
          cells: [id, time(Number(id.split('-')[0]) / 1000), pairs(fields).map(([name, value]) => `${shown(name)}: ${shown(value)}`).join(', ')],
          remove: () => call('XDEL', key, id),
        })),
        next: entries.length === PAGE ? `(${entries.at(-1)[0]}` : null,
      };
    },
    add: [
      [{ name: 'field', label: 'Field' }, { name: 'value', label: 'Value', lines: 4 }],
      (key, { field, value }) => call('XADD', key, '*', field, value),
    ],
    further: groupsPanel,
  },
};

// Whether a word is all there: of one that is shown in part nothing can be changed by it.
function isWhole(word) {
  return word?.cut === undefined;
}

// When fields or members end, in milliseconds, as the words behind `words` ask for it. Empty where nobody may ask.
async function endsOf(elements, ...words) {
  const whole = elements.filter(isWhole);
  if (whole.length === 0 || !may(words[0].toLowerCase())) return new Map();
  const [ends] = await run([[...words, whole.length, ...whole]]).catch((error) => [error]);
  return new Map(Array.isArray(ends) ? whole.map((element, at) => [element, ends[at]]) : []);
}

// Groups of a stream that are shown, and consumers of each.
const GROUPS_MAX = 50;
const CONSUMERS_MAX = 20;

// The groups of a stream with their consumers, the one with most entries pending first; null where there is none.
async function groupsPanel(key) {
  if (!may('xinfo|groups')) return null;
  const [all] = await run([['XINFO', 'GROUPS', key]]);
  if (!Array.isArray(all) || all.length === 0) return null;
  const groups = all.slice(0, GROUPS_MAX);
  const asked = may('xinfo|consumers') ? await run(groups.map((group) => ['XINFO', 'CONSUMERS', key, group.get('name')])) : [];
  const rows = groups.map((group, at) => [
    value(group.get('name')), count(group.get('pending')), group.get('lag') === null ? '–' : count(group.get('lag')), group.get('last-delivered-id'),
    consumers(group.get('consumers'), Array.isArray(asked[at]) ? asked[at] : []),
  ]);
  return h('section', { class: 'panel' }, h('h2', {}, 'Groups'),
    groups.length < all.length ? h('p', { class: 'more' }, `${count(groups.length)} of ${count(all.length)} groups.`) : null,
    table('Groups', [{ name: 'Group', words: true }, { name: 'Pending', number: true }, { name: 'Lag', number: true }, { name: 'Last entry', fixed: true }, { name: 'Consumers', wide: true }], rows));
}

function consumers(number, known) {
  const shownOnes = known.toSorted((one, other) => other.get('pending') - one.get('pending')).slice(0, CONSUMERS_MAX);
  if (shownOnes.length === 0) return count(number);
  const rest = number - shownOnes.length;
  return h('ul', { class: 'lines' },
    shownOnes.map((one) => h('li', {}, `${cut(shown(one.get('name')), 100)}: ${count(one.get('pending'))} pending, idle for ${span(one.get('idle') / 1000)}`)),
    rest > 0 ? h('li', {}, `and ${count(rest)} more`) : null);
}

// Gives a field another value. When it ends stays as it was, and a field that is gone is not made again.
async function setField(key, field, text, was) {
  const set = await callIfSame(key, ['HGET', key, field], was, 'HSETEX', key, 'FXX', 'KEEPTTL', 'FIELDS', 1, field, text);
  if (set === 0) throw new Refused('There is no such field any more.');
}

function pairs(flat) {
  return flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1]]] : []));
}

// Asks for a new value and stores it; where it is refused, what was typed is there to be tried again. Where `store(new, old)` finds
// another value than the old one, it asks whether to overwrite that. Returns whether it was stored.
async function change(value, label, store) {
  if (typeof value === 'object') {
    note('This value is not text; the command line changes it.', 'error');
    return false;
  }
  const view = location.hash;
  let [typed, was, problem] = [value, value, null];
  // Another view has no use for it.
  while (location.hash === view) {
    const given = await asked('Change', [{ name: 'value', label, value: typed, lines: 6 }], 'Save', problem);
    if (given === null) return false;
    typed = given.value;
    for (;;) {
      try {
        await store(typed, was);
        note('Saved.');
        return true;
      } catch (error) {
        problem = error;
      }
      if (!(problem instanceof Changed) || !await mayOverwrite(problem)) break;
      // Only what was shown is overwritten: it may have changed again.
      was = problem.now;
    }
  }
  return false;
}

// Whether what somebody else has written may be overwritten; what is gone cannot be.
async function mayOverwrite(problem) {
  const { now } = problem;
  if (now === null || now instanceof Refused) {
    problem.message = 'Somebody else has removed or replaced it meanwhile.';
    return false;
  }
  return confirmed('Overwrite what somebody else wrote?', `${problem.message} Now it is:\n${cut(shown(now), 300)}`, 'Overwrite');
}

// Fills a place with a key. Answers what is to be done when it is left: nothing.
export async function showValue(place, key) {
  const replies = await run([['TYPE', key], ['PTTL', key], ['MEMORY', 'USAGE', key], ['OBJECT', 'ENCODING', key]]);
  const refused = replies[0] instanceof Refused ? replies[0] : null;
  if (refused) throw refused;
  const [type, ms, size, encoding] = replies.map((reply) => (reply instanceof Refused ? null : reply));
  const again = () => {
    put(place);
    showValue(place, key).catch((error) => note(error.message, 'error'));
  };
  const back = h('a', { class: 'button', href: '#/keys' }, 'All keys');
  if (type === 'none') {
    put(place, named(shown(key), back), h('p', { class: 'empty' }, `There is no such key in database ${session.database}.`));
    return;
  }
  const kind = KINDS[type];
  const length = kind ? await call(kind.size, key) : null;
  const content = h('div', {});
  const below = h('div', {});
  put(place,
    named(shown(key), back, button('Reload', again), ...changes(key, ms, again)),
    facts([
      ['Type', type], ['Encoding', encoding ?? '–'], ['Database', session.database],
      ...(kind ? [[kind.sizeName, count(length)]] : []),
      ['Ends in', ttl(ms ?? -1)], ['Memory', size === null ? '–' : bytes(size)],
    ]),
    content, below);
  if (!kind) put(content, h('p', { class: 'empty' }, 'The command line shows values of this type.'));
  else if (type === 'string') await showText(content, key, length, 0, again);
  else await showElements(content, key, kind, again);
  put(below, await kind?.further?.(key));
}

// Characters from which on a name is long: it is written smaller, and its rest is its title.
const LONG_NAME = 60;
const NAME_MAX = 200;

// A heading with the name of a key.
function named(name, ...beside) {
  const isLong = name.length > LONG_NAME;
  return h('div', { class: 'heading' },
    h('h1', { class: isLong ? 'long' : null, title: name.length > NAME_MAX ? name : null }, cut(name, NAME_MAX)), ...beside);
}

// Buttons that change the key as a whole.
function changes(key, ms, again) {
  return [
    mayChange('persist', 'pexpire') && button('Expiry', async () => {
      const given = await asked('When the key ends', [
        { name: 'seconds', label: 'Seconds from now; empty for no limit', type: 'number', value: ms >= 0 ? String(Math.ceil(ms / 1000)) : '' },
      ], 'Set');
      if (given === null) return;
      const set = () => (given.seconds === '' ? call('PERSIST', key) : call('PEXPIRE', key, Math.round(1000 * Number(given.seconds))));
      if (await attempt(set, 'Set.')) again();
    }),
    mayChange('renamenx') && button('Rename', async () => {
      const given = await asked('Rename', [{ name: 'name', label: 'New name', value: typeof key === 'string' ? key : '' }], 'Rename');
      if (given === null || given.name === '' || given.name === key) return;
      const rename = async () => {
        if (await call('RENAMENX', key, given.name) === 0) throw new Refused('There is a key of this name already.');
      };
      if (await attempt(rename, 'Renamed.')) location.hash = `#/keys/t:${encodeURIComponent(given.name)}?db=${session.database}`;
    }),
    mayChange('unlink') && button('Delete', async () => {
      if (!await confirmed('Delete this key?', `${cut(shown(key), 300)} in database ${session.database} is gone for good.`, 'Delete')) return;
      if (await attempt(() => call('UNLINK', key), 'Deleted.')) location.hash = '#/keys';
    }, { class: 'danger' }),
  ];
}

async function showText(content, key, length, start, again) {
  const text = await call('GETRANGE', key, start, start + TEXT_PAGE_BYTES - 1);
  const isWhole = length <= TEXT_PAGE_BYTES;
  const isText = typeof text === 'string';
  const end = Math.min(length, start + TEXT_PAGE_BYTES);
  const turn = (to) => showText(content, key, length, to, again).catch((error) => note(error.message, 'error'));
  const pretty = isText && isWhole ? indented(text) : null;
  const shownText = h('pre', { class: 'text', tabindex: '0', 'aria-label': 'Value' }, isText ? text : shown(text));
  const edit = () => change(text, 'Value', (value, was) => callIfSame(key, ['GET', key], was, 'SET', key, value, 'KEEPTTL')).then((done) => done && again());
  put(content, h('section', { class: 'panel' },
    h('div', { class: 'heading' }, h('h2', {}, 'Value'),
      isWhole ? null : h('span', { class: 'more' }, `bytes ${count(start)} to ${count(end)} of ${count(length)}`),
      isWhole ? null : button('Before', () => turn(start - TEXT_PAGE_BYTES), { disabled: start === 0 }),
      isWhole ? null : button('Next', () => turn(start + TEXT_PAGE_BYTES), { disabled: end >= length }),
      pretty === null ? null : button('Indent JSON', (event) => {
        const isPlain = shownText.textContent === text;
        shownText.textContent = isPlain ? pretty : text;
        event.target.textContent = isPlain ? 'As stored' : 'Indent JSON';
      }),
      isWhole && isText && mayChange('set') ? button('Edit', edit) : null),
    isText ? null : h('p', { class: 'more' }, 'Not text: bytes that cannot be shown are escaped.'),
    shownText));
}

function indented(text) {
  if (!/^\s*[[{]/.test(text)) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

async function showElements(content, key, kind, again) {
  const places = [null];
  async function turn() {
    const { rows, next } = await kind.page(key, places.at(-1));
    const [mayEdit, mayRemove] = [kind.uses.edit, kind.uses.remove].map((name) => name && mayChange(name));
    const canChange = rows.some(({ edit, remove }) => mayEdit && edit || mayRemove && remove);
    const columns = canChange ? [...kind.columns, CHANGE] : kind.columns;
    const cells = rows.map(({ cells: given, ms, edit, remove, removes }) => {
      const shownCells = given.map((cell, place) => (place === 0 && ms >= 0 ? [value(cell), h('div', { class: 'more' }, `ends in ${ttl(ms)}`)] : value(cell)));
      if (!canChange) return shownCells;
      return [...shownCells, h('span', { class: 'row tight' },
        mayEdit && edit ? button('Edit', async () => { if (await edit()) await go(turn); }) : null,
        mayRemove && remove ? button('Remove', async () => {
          const what = cut(given.map(shown).join(' '), 300);
          if (!await confirmed('Remove this?', `${what}\n${removes ?? ''}`.trim(), 'Remove')) return;
          if (await attempt(remove, 'Removed.')) again();
        }, { class: 'danger' }) : null)];
    });
    const add = mayChange(kind.uses.add) ? button('Add', async () => {
      const [fields, store] = kind.add;
      const given = await asked('Add', fields, 'Add');
      if (given !== null && await attempt(() => store(key, given), 'Added.')) again();
    }) : null;
    put(content, h('section', { class: `panel of-${kind.size.toLowerCase()}` },
      h('div', { class: 'heading' }, h('h2', {}, kind.sizeName), add,
        places.length > 1 ? button('Before', () => { places.pop(); return go(turn); }) : null,
        next === null ? null : button('Next', () => { places.push(next); return go(turn); })),
      table(kind.sizeName, columns, cells)));
  }
  await turn();
}

// Shows a cell; what is long opens on demand.
function value(cell) {
  const text = shown(cell);
  if (text.length <= 200) return text;
  return h('details', {}, h('summary', {}, cut(text, 160)), h('pre', { class: 'text' }, text));
}

function go(turn) {
  return turn().catch((error) => note(error.message, 'error'));
}

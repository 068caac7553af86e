// A command line.

import { call, raw, session } from '../api.js';
import { byId, confirmed, h, heading, put } from '../dom.js';
import { micros, shown } from '../format.js';

export const title = 'Command line';

const KEPT = 200;

// Commands after which something is gone for all: asked about before.
const HEAVY = new Set(['FLUSHALL', 'FLUSHDB', 'SHUTDOWN', 'SWAPDB', 'FAILOVER', 'REPLICAOF', 'SLAVEOF']);
const STREAMS = new Set(['SUBSCRIBE', 'PSUBSCRIBE', 'SSUBSCRIBE', 'MONITOR']);

const past = [];
const shownLines = [];
let queue = null;

export function show(place) {
  const output = h('div', { class: 'output', role: 'log', 'aria-label': 'Replies', tabindex: '0' }, ...shownLines);
  const input = h('input', { id: 'line', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false', list: 'commands', 'aria-label': 'Command' });
  const prompt = h('span', { class: 'prompt', 'aria-hidden': 'true' });
  const names = h('datalist', { id: 'commands' });
  let at = past.length;
  const say = () => { prompt.textContent = `${session.database}${queue ? ' (in MULTI)' : ''}>`; };
  const print = (...elements) => {
    for (const element of elements) {
      shownLines.push(element);
      output.append(element);
    }
    while (shownLines.length > KEPT) shownLines.shift().remove();
    output.scrollTop = output.scrollHeight;
  };
  const form = h('form', { class: 'prompt-line', onsubmit: async (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text === '') return;
    if (past.at(-1) !== text) past.push(text);
    at = past.length;
    input.value = '';
    print(h('p', { class: 'asked' }, `${prompt.textContent} ${text}`));
    input.disabled = true;
    print(await answer(text));
    input.disabled = false;
    input.focus();
    say();
  } }, prompt, input, names, h('button', { type: 'submit', class: 'primary' }, 'Run'));
  input.addEventListener('keydown', (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    at = Math.min(past.length, Math.max(0, at + step));
    input.value = past[at] ?? '';
  });
  put(place, heading('Command line'), output, form,
    h('p', { class: 'more' }, 'Commands run as those of redis-cli, each on a connection of its own and for at most ten seconds; MULTI gathers them until EXEC.'));
  say();
  input.focus();
  call('COMMAND', 'LIST')
    .then((list) => put(names, list.sort().map((name) => h('option', { value: name.toUpperCase().replace('|', ' ') }))))
    .catch(() => {});
}

async function answer(text) {
  const words = split(text);
  if (words === null) return failed('Quotes are not closed.');
  const name = words[0].toUpperCase();
  if (STREAMS.has(name)) return h('p', { class: 'reply' }, 'Its messages come without end: the view ', h('a', { href: '#/live' }, 'Live'), ' shows them.');
  if (HEAVY.has(name) && !await confirmed(`Run ${name}?`, text, 'Run', name)) return h('p', { class: 'reply' }, 'Not run.');
  if (name === 'SELECT' && words.length === 2) return select(words[1]);
  if (queue === null && name === 'MULTI') {
    queue = [words];
    return reply({ simple: 'OK' });
  }
  if (queue !== null && name === 'DISCARD') {
    queue = null;
    return reply({ simple: 'OK' });
  }
  if (queue !== null && name !== 'EXEC') {
    queue.push(words);
    return reply({ simple: 'QUEUED' });
  }
  const commands = queue === null ? [words] : [...queue, words];
  queue = null;
  try {
    const { replies, stopped, took_us: took } = await raw(commands);
    if (replies.length < commands.length) return failed(`No reply: ${stopped}.`);
    // What was refused when it was queued says why EXEC was.
    const refused = commands.length > 1 ? replies.slice(0, -1).filter((one) => one?.error) : [];
    return h('div', {}, ...refused.map(reply), reply(replies.at(-1)), h('p', { class: 'took' }, micros(took)));
  } catch (error) {
    return failed(error.message);
  }
}

function select(number) {
  const choice = byId('database');
  if (![...choice.options].some((option) => option.value === number)) return failed('ERR DB index is out of range');
  choice.value = number;
  session.database = Number(number);
  return reply({ simple: 'OK' });
}

function failed(text) {
  return h('p', { class: 'reply error' }, text);
}

function reply(value) {
  return h('pre', { class: `reply${value?.error ? ' error' : ''}` }, written(value, ''));
}

// A reply as redis-cli writes it.
function written(value, indent) {
  if (value === null) return '(nil)';
  if (value === true || value === false) return `(${value})`;
  if (typeof value === 'number') return `(integer) ${value}`;
  if (typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return listed(value, indent, '(empty array)');
  if ('error' in value) return `(error) ${value.error}`;
  if ('simple' in value) return value.simple;
  if ('int' in value) return `(integer) ${value.int}`;
  if ('double' in value) return `(double) ${value.double}`;
  if ('big' in value) return `(big number) ${value.big}`;
  if ('text' in value) return value.text;
  if ('base64' in value) return `"${shown(value)}"`;
  if ('set' in value) return listed(value.set, indent, '(empty set)');
  if ('push' in value) return listed(value.push, indent, '(empty push)');
  if (value.map.length === 0) return '(empty map)';
  return value.map.map(([key, one], at) => {
    const head = `${at === 0 ? '' : indent}${written(key, indent)} => `;
    return head + written(one, `${indent}    `);
  }).join('\n');
}

function listed(values, indent, empty) {
  if (values.length === 0) return empty;
  const width = String(values.length).length;
  const inner = indent + ' '.repeat(width + 2);
  return values.map((one, at) => `${at === 0 ? '' : indent}${String(at + 1).padStart(width)}) ${written(one, inner)}`).join('\n');
}

// The words of a line: quoted ones may hold blanks and, in double quotes, \n, \r, \t, \\, \" and \xHH. Bytes that are no text
// become { base64 }. Null where a quote is not closed.
export function split(text) {
  const words = [];
  const pattern = /\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s"']\S*))(?=\s|$)/gy;
  let end = 0;
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    end = pattern.lastIndex;
    const [, double, single, bare] = match;
    words.push(bare ?? (single !== undefined ? single.replace(/\\'/g, "'") : unescaped(double)));
  }
  return text.slice(end).trim() === '' && words.length > 0 ? words : null;
}

function unescaped(text) {
  const bytes = [];
  const named = { n: 10, r: 13, t: 9, b: 8, a: 7 };
  const coder = new TextEncoder();
  for (const [part] of text.matchAll(/\\x[0-9a-fA-F]{2}|\\.|[^\\]/gsu)) {
    if (/^\\x../.test(part)) bytes.push(parseInt(part.slice(2), 16));
    else if (part[0] === '\\' && part.length > 1) bytes.push(...(named[part[1]] ? [named[part[1]]] : coder.encode(part.slice(1))));
    else bytes.push(...coder.encode(part));
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes));
  } catch {
    return { base64: btoa(String.fromCharCode(...bytes)) };
  }
}

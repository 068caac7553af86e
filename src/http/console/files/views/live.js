// Messages as they come: pub/sub, events of keys, and requests of all clients.

import { call, may, mayChange, plain, session, stream } from '../api.js';
import { asked, attempt, button, confirmed, h, heading, inWords, notAllowed, note, put } from '../dom.js';
import { count, shown } from '../format.js';

export const title = 'Live';

const KEPT = 500;

const SOURCES = {
  channel: { name: 'Channel', label: 'Channel', value: '', command: (text) => ['SUBSCRIBE', text] },
  pattern: { name: 'Channels by pattern', label: 'Pattern', value: '*', command: (text) => ['PSUBSCRIBE', text] },
  keys: {
    name: 'Events of keys', label: 'Keys by pattern', value: '*',
    command: (text) => ['PSUBSCRIBE', `__keyspace@${session.database}__:${text}`],
  },
  monitor: { name: 'Requests (MONITOR)', label: null, value: '', command: () => ['MONITOR'] },
};

export function show(place, { query }) {
  const source = h('select', { id: 'source' }, Object.entries(SOURCES).map(([name, one]) => h('option', { value: name }, one.name)));
  const mayListen = () => may(SOURCES[source.value].command('').at(0).toLowerCase());
  const text = h('input', { id: 'text', autocomplete: 'off', spellcheck: 'false' });
  const label = h('span', {});
  const field = h('label', { class: 'field grow', for: 'text' }, label, text);
  const state = h('p', { class: 'more', role: 'status' }, 'Not started.');
  const list = h('ol', { class: 'messages', tabindex: '0', 'aria-label': 'Messages' });
  const go = h('button', { type: 'submit', class: 'primary' }, 'Start');
  let ends = null;
  let seen = 0;
  // Messages are shown a few times a second, however many come.
  let waiting = [];
  let timer = null;
  const flush = () => {
    timer = null;
    const wasAtEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 8;
    list.append(...waiting.slice(-KEPT).map(line));
    waiting = [];
    while (list.children.length > KEPT) list.firstChild.remove();
    if (wasAtEnd) list.scrollTop = list.scrollHeight;
    state.textContent = `${count(seen)} messages${seen > KEPT ? `, the last ${KEPT} shown` : ''}.`;
  };
  const take = (message) => {
    const now = plain(message);
    if (Array.isArray(now) && /subscribe$/.test(now[0]) || now === 'OK') {
      state.textContent = 'Listening.';
      return;
    }
    seen += 1;
    waiting.push({ at: new Date(), words: now });
    if (waiting.length > 2 * KEPT) waiting = waiting.slice(-KEPT);
    timer ??= setTimeout(flush, 200);
  };
  const stop = () => {
    ends?.abort();
    ends = null;
    go.textContent = 'Start';
  };
  const start = async () => {
    const command = SOURCES[source.value].command(text.value);
    if (source.value === 'keys' && !await eventsAreOn()) return;
    put(list);
    seen = 0;
    ends = new AbortController();
    const own = ends;
    go.textContent = 'Stop';
    try {
      const reason = await stream([command], take, own.signal);
      if (reason !== null && own === ends) {
        state.textContent = `Ended: ${reason}.`;
        stop();
      }
    } catch (error) {
      if (own !== ends) return;
      state.textContent = inWords(error);
      stop();
    }
  };
  const choose = () => {
    stop();
    const one = SOURCES[source.value];
    field.hidden = one.label === null;
    label.textContent = one.label ?? '';
    text.value = one.value;
    go.disabled = !mayListen();
    state.textContent = mayListen() ? 'Not started.' : notAllowed(one.command('')[0]);
  };
  source.value = SOURCES[query.get('source')] ? query.get('source') : 'pattern';
  source.addEventListener('change', choose);
  choose();
  text.value = query.get('text') ?? text.value;
  put(place,
    heading('Live', mayChange('publish') ? button('Publish', publish) : null),
    h('form', { class: 'row', onsubmit: (event) => {
      event.preventDefault();
      if (ends) {
        stop();
        state.textContent = 'Stopped.';
      } else start();
    } }, h('label', { class: 'field', for: 'source' }, 'Source', source), field, go),
    state, list);
  return () => {
    stop();
    clearTimeout(timer);
  };
}

function line({ at, words }) {
  const when = h('time', {}, at.toISOString().slice(11, 23));
  if (!Array.isArray(words)) return h('li', {}, when, h('code', {}, shown(words instanceof Error ? words.message : words)));
  const [kind, ...rest] = words;
  const content = kind === 'pmessage' ? rest.slice(1) : rest;
  return h('li', {}, when, h('span', { class: 'channel' }, shown(content[0])), h('code', {}, content.slice(1).map(shown).join(' ')));
}

// Whether events of keys are told; offers to switch them on.
async function eventsAreOn() {
  let flags;
  try {
    flags = (await call('CONFIG', 'GET', 'notify-keyspace-events')).get('notify-keyspace-events');
  } catch {
    return true; // The user may not ask; it is tried.
  }
  if (flags.includes('K')) return true;
  if (!mayChange('config|set')) {
    note('Events of keys are off (notify-keyspace-events).', 'error');
    return false;
  }
  const yes = await confirmed('Switch events of keys on?', 'notify-keyspace-events becomes KEA: each change of a key is told to subscribers, which takes a little time of each write.', 'Switch on');
  return yes && attempt(() => call('CONFIG', 'SET', 'notify-keyspace-events', 'KEA'), 'Events of keys are on.');
}

async function publish() {
  const given = await asked('Publish', [{ name: 'channel', label: 'Channel' }, { name: 'message', label: 'Message', lines: 3 }], 'Publish');
  if (given === null) return;
  await attempt(async () => note(`${await call('PUBLISH', given.channel, given.message)} clients got it.`));
}

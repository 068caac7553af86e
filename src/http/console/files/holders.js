// Commands that have had their locks for over a second, so that whoever needs them waits: KVARTS HEALTH tells of them.

import { call, may, mayChange } from './api.js';
import { CHANGE, attempt, button, confirmed, h, panel, table } from './dom.js';
import { counted, micros } from './format.js';

// What held locks when it was last asked, so that a view can begin with it.
export let lastHolders = [];

// What holds locks now, that for longest first: { text, command, program, name, key, client, address, user, us }; null
// where there is none. Empty where the user may not ask.
export async function holders() {
  if (!may('kvarts|health')) return (lastHolders = []);
  const health = await call('KVARTS', 'HEALTH').catch(() => null);
  const words = health?.get?.('holds-locks') ?? [];
  lastHolders = (health?.get?.('holders') ?? []).map((one, at) => ({
    text: words[at], command: one.get('command'), program: one.get('program'), name: one.get('program-name'), key: one.get('key'),
    client: one.get('client-id'), address: one.get('client-address'), user: one.get('user'), us: one.get('running-us'),
  })).sort((one, other) => other.us - one.us);
  return lastHolders;
}

// The same as what is the matter, in the form in which the server tells of other matters; null where nothing is.
export function holdersTrouble(all) {
  if (all.length === 0) return null;
  const [{ text, command, us }] = all;
  const others = all.length > 1 ? ` So do ${counted(all.length - 1, 'other command')}.` : '';
  return {
    kind: 'locks', refuses: 'nothing', title: `${command} has held its locks for ${micros(us)}`,
    reason: `It keeps its locks meanwhile: ${text}.${others}`,
    advice: 'Whoever needs the same keys waits until it ends, or hears BUSY; behind some commands and scripts all clients do. State lists such commands; SCRIPT KILL or FUNCTION KILL ends a script that has changed nothing.',
  };
}

// A table of them, with what ends them where the user may; null where there are none.
export function holdersPanel(all) {
  if (all.length === 0) return null;
  const rows = all.map((one) => [
    h('span', {}, h('code', {}, one.command), one.program ? ` of ${one.program} ${one.name}` : ''), one.key === null ? '–' : h('code', {}, one.key),
    one.address ? `${one.client} (${one.address})` : `${one.client}, which has left`, one.user ?? '–', micros(one.us), h('span', { class: 'row tight' }, ends(one)),
  ]);
  const columns = [{ name: 'Command', words: true }, { name: 'Key', words: true }, { name: 'Client', fixed: true }, 'User', { name: 'For', number: true }, CHANGE];
  return panel('What is in the way', h('p', { class: 'more' }, 'These have had their locks for over a second: whoever needs them waits.'),
    table('What is in the way', columns, rows));
}

// Buttons that end a script, and close the connection of a client, which breaks off what only looks at all keys.
function ends({ program: kind, client, address }) {
  return [
    kind && mayChange(`${kind}|kill`) ? button('End', (event) => ask(event, `End the ${kind}?`,
      `${kind.toUpperCase()} KILL ends it, unless it has changed something already.`, 'End', [kind.toUpperCase(), 'KILL']), { class: 'danger', 'aria-label': `End the ${kind} of client ${client}` }) : null,
    address && mayChange('client|kill') ? button('Kill', (event) => ask(event, 'Kill this client?',
      `The connection of ${address} is closed. What only looks at all keys is broken off, anything else that it runs goes on to its end.`, 'Kill', ['CLIENT', 'KILL', 'ID', client]), { class: 'danger', 'aria-label': `Kill client ${client}` }) : null,
  ];
}

async function ask({ target }, title, text, action, words) {
  if (await confirmed(title, text, action)) await attempt(() => call(...words), 'Done.');
  // What has the focus is not drawn anew.
  target.blur();
}

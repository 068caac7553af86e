// The frame: who is logged in, which view is shown, what holds for all of them.

import { call, logIn, logOut, raw, session, whoAmI } from './api.js';
import { button, byId, closeDialogs, failure, h, put } from './dom.js';
import { figures } from './figures.js';
import { holders } from './holders.js';
import * as clients from './views/clients.js';
import * as config from './views/config.js';
import * as hot from './views/hot.js';
import * as keys from './views/keys.js';
import * as line from './views/line.js';
import * as live from './views/live.js';
import * as overview from './views/overview.js';
import * as slots from './views/slots.js';
import * as slow from './views/slow.js';
import * as state from './views/state.js';

// By the word in the page's address, in the order in which they are shown. A view has a title and a function show(place,
// rest of the address) that fills the place, and may return what is to be done when it is left.
const VIEWS = { overview, keys, slow, hot, clients, line, live, slots, state, config };

// How often the user's rights are asked for, at most, when another view is shown.
const RIGHTS_EVERY_MS = 5000;

// How long the first view waits for figures and for what is the matter, so that it need not move when they come.
const FIRST_FIGURES_MS = 700;

let leave = null;
let shown = 0;
let rightsAskedAt = 0;

// What a user may choose, kept in the browser.
const kept = {
  get: (name) => { try { return localStorage.getItem(`kvarts-${name}`); } catch { return null; } },
  set: (name, value) => { try { localStorage.setItem(`kvarts-${name}`, value); } catch { /* It is forgotten, then. */ } },
};

function address() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const [name, ...rest] = path.split('/');
  return { name: Object.hasOwn(VIEWS, name) ? name : 'overview', rest, query: new URLSearchParams(query) };
}

// Asks what the user may do now; a view that offers something else is shown anew.
async function lookAtRights() {
  if (Date.now() - rightsAskedAt < RIGHTS_EVERY_MS) return;
  rightsAskedAt = Date.now();
  const { user, denied, all_keys: allKeys } = await whoAmI().catch(() => ({ user: null }));
  if (user === null || user !== session.user) return;
  if (allKeys === session.allKeys && denied.join() === [...session.denied].join()) return;
  [session.denied, session.allKeys] = [new Set(denied), allKeys];
  show();
}

async function show() {
  if (location.hash === '#main') return; // The link that skips to the content.
  lookAtRights();
  const { name, rest, query } = address();
  if (query.has('db')) select(Number(query.get('db')));
  leave?.();
  leave = null;
  shown += 1;
  const turn = shown;
  const main = byId('main');
  document.title = `${VIEWS[name].title} · Kvarts console`;
  for (const link of byId('views').querySelectorAll('a')) {
    if (link.dataset.name === name) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    }
    else link.removeAttribute('aria-current');
  }
  const place = h('div', { class: `view view-${name}` });
  put(main, place);
  try {
    const ends = await VIEWS[name].show(place, { rest, query });
    if (turn === shown) leave = ends ?? null;
    else ends?.();
  } catch (error) {
    if (turn === shown) place.append(failure(error));
  }
}

function select(database) {
  if (!Number.isInteger(database) || database < 0) return;
  session.database = database;
  byId('database').value = String(database);
}

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  byId('theme').value = name ?? '';
}

function frame(known) {
  session.user = known.user;
  session.open = known.open;
  session.serverReadOnly = known.read_only;
  session.readOnly = known.read_only || kept.get('read-only') === 'yes';
  session.cluster = known.cluster;
  session.denied = new Set(known.denied);
  session.allKeys = known.all_keys;
  session.profile = known.profile;
  const box = byId('read-only');
  box.checked = session.readOnly;
  box.disabled = known.read_only;
  const options = Array.from({ length: known.databases }, (_, number) => h('option', { value: number }, number));
  put(byId('database'), options);
  select(Math.min(session.database, known.databases - 1));
  const out = button('Log out', async () => start(await logOut()), { class: 'plain' });
  put(byId('user'), h('span', { class: 'name' }, known.user), known.open && known.user === 'default' ? loginLink() : out);
}

function loginLink() {
  return button('Log in', () => askWho({ ...session, user: null }), { class: 'plain' });
}

// Shows the form for name and password.
function askWho(known) {
  leave?.();
  leave = null;
  shown += 1;
  closeDialogs();
  document.body.classList.add('out');
  document.body.classList.remove('waits');
  document.title = 'Log in · Kvarts console';
  figures.stop();
  const user = h('input', { id: 'log-in-user', name: 'user', autocomplete: 'username', value: 'default', required: true });
  const password = h('input', { id: 'log-in-password', name: 'password', type: 'password', autocomplete: 'current-password' });
  const problem = h('div', {});
  const send = h('button', { type: 'submit', class: 'primary' }, 'Log in');
  const form = h('form', { class: 'panel log-in', onsubmit: async (event) => {
    event.preventDefault();
    send.disabled = true;
    put(problem);
    try {
      start(await logIn(user.value, password.value));
    } catch (error) {
      put(problem, failure(error));
      password.value = '';
      password.focus();
    }
    send.disabled = false;
  } },
  h('h1', {}, 'Log in'),
  h('p', {}, 'With the name and password of a user of this server: what the user may do, the console may do.'),
  h('label', { class: 'field', for: 'log-in-user' }, 'User', user),
  h('label', { class: 'field', for: 'log-in-password' }, 'Password', password),
  problem,
  h('div', { class: 'row end' }, known.open ? button('Cancel', async () => start(await whoAmI())) : null, send));
  put(byId('main'), form);
  put(byId('user'));
  password.focus();
}

function start(known) {
  if (known.user === null) {
    askWho(known);
    return;
  }
  document.body.classList.remove('out');
  rightsAskedAt = Date.now();
  frame(known);
  put(byId('main'));
  const before = shown;
  const late = new Promise((resolve) => { setTimeout(resolve, FIRST_FIGURES_MS); });
  Promise.race([Promise.all([figures.start(), holders()]), late]).then(() => {
    document.body.classList.remove('waits');
    // Meanwhile somebody may have gone elsewhere.
    if (shown === before) show();
  });
}

session.onLogOut = () => {
  if (!document.body.classList.contains('out')) askWho(session);
};

put(byId('views'), Object.entries(VIEWS).map(([name, view]) => h('a', { href: `#/${name}`, 'data-name': name }, view.title)));
theme(kept.get('theme'));
byId('theme').addEventListener('change', (event) => {
  theme(event.target.value);
  kept.set('theme', event.target.value);
});
byId('read-only').addEventListener('change', (event) => {
  session.readOnly = event.target.checked;
  kept.set('read-only', event.target.checked ? 'yes' : 'no');
  show();
});
byId('database').addEventListener('change', (event) => {
  select(Number(event.target.value));
  if (address().query.has('db')) location.hash = `#/${address().name}`;
  else show();
});
addEventListener('hashchange', () => {
  // What was asked about is of the view that is left.
  closeDialogs();
  show();
});
figures.onState = (text, isWell) => {
  const place = byId('state');
  if (place.textContent !== text) put(place, isWell ? text : h('a', { href: '#/state' }, text));
  place.classList.toggle('bad', !isWell);
};

// For whoever writes commands in the browser's own console.
globalThis.kvarts = { call, raw };

whoAmI().then(start).catch((error) => {
  document.body.classList.remove('waits');
  put(byId('main'), failure(error));
});

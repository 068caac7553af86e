/** The console of servers that are not at their best, or behave otherwise: over HTTPS, loading, a replica, out of memory, under a profile. */

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';

import { Console, isTooWide, launch, open, picture, until, violations, withConsole } from '../lib/browser.js';
import { fill } from '../lib/data.js';

let browser;

before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

const dialog = (page) => page.getByRole('dialog');
const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

/** What is right with a page whatever it shows, and a picture of it; that it is accessible is looked at where it shows something new. */
async function check(page, name, isNew = true) {
  assert.equal(await isTooWide(page), false, `${name} is wider than its window`);
  if (isNew) assert.deepEqual(await violations(page), [], name);
  await picture(page, name);
}

test('over HTTPS', async () => {
  await withConsole(browser, ['--metrics-tls', 'yes'], async (console, page) => {
    await page.getByText('Healthy').waitFor();
    await page.goto(`${console.url}/#/keys/t:user%3A7?db=0`);
    await page.getByText('Name 7').waitFor();
    await page.goto(`${console.url}/#/live`);
    await press(page, 'Start');
    await page.getByText('Listening.').waitFor();
    await console.call('PUBLISH', 'c', 'over TLS');
    await page.getByLabel('Messages').getByText('over TLS').waitFor();
    await console.call('CONFIG', 'SET', 'requirepass', 'secret');
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await page.getByLabel('Password').fill('secret');
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('button', { name: 'Log out' }).waitFor();
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.sameSite], [true, true, 'Strict']);
    await check(page, 'state-https');
  }, fill);
});

test('while the data are loaded', async () => {
  // Two seconds for each thousand keys.
  await withConsole(browser, ['--save', '3600 1000000', '--key-load-delay', '2000', '--enable-debug-command', 'yes'], async (console, page) => {
    await page.getByText('Loading data').waitFor();
    await page.getByRole('heading', { name: 'Operations a second' }).waitFor();
    await check(page, 'state-loading-overview');
    await page.goto(`${console.url}/#/state`);
    await page.getByText(/Loading: \d/).waitFor();
    await check(page, 'state-loading-state');
    for (const view of ['keys', 'slow', 'hot', 'clients', 'slots', 'config']) {
      await page.goto(`${console.url}/#/${view}`);
      await page.locator(`main .view-${view}`).waitFor();
      // It says so, in its place or beside it, and does not fail.
      if (view === 'keys') await page.getByText(/LOADING|loading the dataset/).first().waitFor();
      await check(page, `state-loading-${view}`, view === 'keys');
    }
  }, async (console) => {
    const loads = net.connect(console.server.port, '127.0.0.1');
    await console.call('DEBUG', 'POPULATE', '10000');
    await console.call('SAVE');
    loads.write('DEBUG RELOAD NOSAVE\r\n');
    loads.on('error', () => {});
    await until('it loads', async () => JSON.stringify(await console.call('INFO', 'persistence')).includes('loading:1'));
  });
});

test('of a replica', async () => {
  const primary = await Console.start('--repl-diskless-sync-delay', '0');
  try {
    await fill(primary);
    await withConsole(browser, ['--replicaof', `127.0.0.1 ${primary.server.port}`], async (console, page) => {
      await page.goto(`${console.url}/#/state`);
      const replication = page.locator('.panel').filter({ has: page.getByRole('heading', { name: 'Replication', exact: true }) });
      await replication.getByText('replica', { exact: true }).waitFor();
      await replication.getByText('up', { exact: true }).waitFor();
      await check(page, 'state-replica');
      await page.goto(`${console.url}/#/keys/t:session%3A9?db=0`);
      await page.getByText('reader').first().waitFor();
      await press(page, 'Edit');
      await dialog(page).getByLabel('Value').fill('changed');
      await dialog(page).getByRole('button', { name: 'Save' }).click();
      await page.getByText('READONLY').first().waitFor();
      // What was typed is still there, to be tried again.
      assert.equal(await dialog(page).getByLabel('Value').inputValue(), 'changed');
      await picture(page, 'state-replica-refused');
      await dialog(page).getByRole('button', { name: 'Cancel' }).click();
      await primary.call('SET', 'session:9', 'new there');
      await until('it has come', async () => (await console.call('GET', 'session:9')) === 'new there');
      await press(page, 'Reload');
      await page.getByText('new there').waitFor();
    }, (console) => until('it has the data', async () => (await console.call('DBSIZE')) > 600));
    // And the primary knows it no more in the end.
    const page = await open(browser, primary.url, {}, '/#/state');
    await page.getByText('primary', { exact: true }).waitFor();
    await page.context().close();
  } finally {
    await primary.stop();
  }
});

test('with no memory left', async () => {
  await withConsole(browser, ['--maxmemory-policy', 'noeviction'], async (console, page) => {
    const memory = page.locator('.chart').filter({ has: page.getByRole('heading', { name: 'Memory', exact: true }) });
    await memory.getByText('Over 80 % of maxmemory').waitFor();
    await check(page, 'state-memory-overview');
    await page.goto(`${console.url}/#/keys/t:session%3A9?db=0`);
    await page.getByText('reader').first().waitFor();
    await press(page, 'Edit');
    await dialog(page).getByLabel('Value').fill('longer '.repeat(100));
    await dialog(page).getByRole('button', { name: 'Save' }).click();
    await page.getByText('OOM command not allowed').first().waitFor();
    await picture(page, 'state-memory-refused');
    await dialog(page).getByRole('button', { name: 'Cancel' }).click();
    // What makes room is still possible.
    await press(page, 'Delete');
    await dialog(page).getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
    assert.equal(await console.call('EXISTS', 'session:9'), 0);
  }, async (console) => {
    await fill(console);
    await console.run([['SET', 'filler', 'x'.repeat(900_000)], ['CONFIG', 'SET', 'maxmemory', '1mb']]);
    const { error } = await console.call('SET', 'k', 'v');
    assert.match(error, /^OOM/);
  });
});

test('under a profile', async () => {
  await withConsole(browser, ['--profile', 'elasticache'], async (console, page) => {
    for (const [view, text] of [['overview', 'Operations a second'], ['keys', 'user:'], ['slow', 'Commands by time'], ['config', 'profile'], ['state', 'Replication']]) {
      await page.goto(`${console.url}/#/${view}`);
      await page.locator(`main .view-${view}`).getByText(text).first().waitFor();
      await check(page, `state-profile-${view}`, view === 'config');
    }
    // Without a finding it says so; the console's own CONFIG is none.
    await page.getByText('Nothing that would not run there.').waitFor();
  }, fill);
});

const panelOf = (page, title) => page.locator('.panel').filter({ has: page.getByRole('heading', { name: title, exact: true }) });

/** Sends the words of a client to the server itself, and resolves when the last reply has begun. */
async function say(console, ...lines) {
  const socket = net.connect(console.server.port, '127.0.0.1');
  let replies = 0;
  socket.setEncoding('utf8').on('data', (text) => { replies += text.split('\r\n').length - 1; });
  socket.write(lines.map((line) => `${line}\r\n`).join(''));
  await until('all is answered', async () => replies >= lines.length);
  socket.destroy();
}

test('findings of a profile and rehearsed faults', async () => {
  const markup = '<img/src=x>';
  await withConsole(browser, ['--profile', 'elasticache', '--enable-debug-command', 'yes', '--simulate', 'oom 0.5'], async (console, page) => {
    await page.goto(`${console.url}/#/state`);
    const findings = panelOf(page, 'Findings of the profile');
    const row = findings.getByRole('row').filter({ hasText: 'visits' });
    await row.getByText('3', { exact: true }).waitFor();
    const cells = await row.getByRole('cell').allTextContents();
    assert.deepEqual([cells[1], cells[3], cells[4]], ['config|get', 'visits, jedis 7', '3']);
    for (const at of [5, 6]) assert.match(cells[at], /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
    assert.match(cells[7], /\.$/);
    await findings.getByText(markup).first().waitFor();
    assert.equal(await page.locator('main img').count(), 0);
    const faults = panelOf(page, 'Rehearsed faults');
    await faults.getByText('oom 0.5').waitFor();
    await faults.getByText('Seed').waitFor();
    await check(page, 'state-findings');
    // It follows what happens.
    await console.call('KVARTS', 'SIMULATE', 'OFF');
    await faults.waitFor({ state: 'detached' });
    await console.call('KVARTS', 'COMPAT', 'RESET');
    await findings.getByText('Nothing that would not run there.').waitFor();
  }, (console) => say(console, 'CLIENT SETNAME visits', 'CLIENT SETINFO LIB-NAME jedis', 'CLIENT SETINFO LIB-VER 7',
    'CONFIG GET hz', 'CONFIG GET hz', 'CONFIG GET hz', `CLIENT SETNAME ${markup}`, 'CONFIG GET hz'));
});

test('without a profile and faults', async () => {
  await withConsole(browser, [], async (console, page) => {
    await page.goto(`${console.url}/#/state`);
    await panelOf(page, 'Replication').waitFor();
    assert.equal(await panelOf(page, 'Findings of the profile').count() + await panelOf(page, 'Rehearsed faults').count(), 0);
    // What there is not is not asked for: the page makes no errors that its own charts would show.
    const errors = await console.call('INFO', 'errorstats');
    assert.doesNotMatch(errors.text ?? errors, /errorstat_/);
  });
});

test('a user with few rights fills no log by looking', async () => {
  await withConsole(browser, [], async (console, page) => {
    await console.run([['SET', 'mine:1', 'v'], ['SET', 'other:1', 'v'], ['SET', 'other:2', 'v'],
      ['ACL', 'SETUSER', 'few', 'on', '>p', '~mine:*', '+scan', '+dbsize', '+type', '+pttl', '+memory|usage', '+get', '+kvarts|health']]);
    await page.goto(`${console.url}/#/overview`);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByLabel('User').fill('few');
    await page.getByLabel('Password').fill('p');
    await page.getByRole('button', { name: 'Log in' }).last().click();
    await page.locator('#user').getByText('few').waitFor();
    await page.goto(`${console.url}/#/keys`);
    await page.getByText('3 found').waitFor();
    const row = (key) => page.getByRole('row').filter({ hasText: key });
    assert.match(await row('mine:1').innerText(), /string/);
    assert.match(await row('other:1').innerText(), /–/);
    for (const [view, text] of [['state', 'may not run INFO'], ['slow', 'may not run COMMANDLOG GET'], ['hot', 'may not run HOTKEYS GET'], ['clients', 'may not run CLIENT LIST'], ['slots', 'Slots']]) {
      await page.goto(`${console.url}/#/${view}`);
      await page.getByText(text).first().waitFor();
    }
    assert.deepEqual(await console.call('ACL', 'LOG'), []);
    const errors = await console.call('INFO', 'errorstats');
    assert.doesNotMatch(errors.text ?? errors, /errorstat_NOPERM/);
  });
});

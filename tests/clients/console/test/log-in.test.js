/** Logging in and out, as users with different rights; a server in cluster mode; a server that only shows. */

import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, test } from 'node:test';

import { Console, launch, open, picture, until, violations } from '../lib/browser.js';

let browser;

before(async () => { browser = await launch(); });
after(async () => { await browser?.close(); });

/** Runs commands on the main port as the default user with its password; answers what came within their replies. */
function admin(server, ...lines) {
  return new Promise((resolve) => {
    const socket = net.connect(server.server.port, '127.0.0.1');
    let text = '';
    socket.on('data', (data) => { text += data; });
    socket.on('close', () => resolve(text));
    socket.end(['AUTH secret', ...lines, 'QUIT', ''].join('\r\n'));
  });
}

async function logIn(page, user, password) {
  await page.getByLabel('User').fill(user);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
}

test('users log in, and may what they may', async () => {
  const console = await Console.start();
  try {
    await console.call('CONFIG', 'SET', 'requirepass', 'secret');
    await admin(console, 'SET shown:1 visible', 'SET hidden:1 secret', 'ACL SETUSER reader on >word ~shown:* +@read +scan +info +ping');
    const page = await open(browser, console.url);
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    assert.deepEqual(await violations(page), []);
    await picture(page, 'log-in-light');
    assert.equal(await page.getByRole('navigation').isVisible(), false);
    await logIn(page, 'reader', 'wrong');
    await page.getByText('wrong user name or password').waitFor();
    await logIn(page, 'reader', 'word');
    await page.getByRole('heading', { name: 'Operations a second' }).waitFor();
    const [cookie] = await page.context().cookies();
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.expires], [true, 'Strict', -1]);
    assert.equal(await page.evaluate(() => document.cookie), '');
    await page.goto(`${console.url}/#/keys/t:shown%3A1?db=0`);
    await page.getByText('visible').waitFor();
    await page.goto(`${console.url}/#/keys/t:hidden%3A1?db=0`);
    await page.getByText('NOPERM').waitFor();
    await page.goto(`${console.url}/#/config`);
    await page.getByText('Your user may not run CONFIG GET.').waitFor();
    await page.reload();
    await page.getByText('reader', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await logIn(page, 'default', 'secret');
    await page.getByText('default', { exact: true }).waitFor();
    await page.goto(`${console.url}/#/keys/t:hidden%3A1?db=0`);
    await page.getByText('secret', { exact: true }).waitFor();
    // A session ends with the password that it was begun with.
    await page.goto(`${console.url}/#/overview`);
    await admin(console, 'CONFIG SET requirepass another');
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await console.stop();
  }
});

test('who may little is told so in place, and offered nothing else', async () => {
  const console = await Console.start();
  try {
    await console.call('CONFIG', 'SET', 'requirepass', 'secret');
    await admin(console, 'SET shown:1 visible', 'HSET shown:2 f v', 'ACL SETUSER looker on >word ~* +@read +ping');
    const page = await open(browser, console.url);
    await logIn(page, 'looker', 'word');
    await page.getByText('Nothing is the matter').waitFor();
    const refused = (name) => page.locator('main').getByText(`Your user may not run ${name}.`, { exact: true }).first().waitFor();
    for (const [place, names] of [
      ['state', ['INFO', 'KVARTS HEALTH']], ['clients', ['CLIENT LIST']], ['config', ['CONFIG GET']], ['slow', ['COMMANDLOG GET', 'KVARTS SLOW', 'INFO']],
      ['hot', ['KVARTS PREFIXES', 'HOTKEYS GET', 'KVARTS BIGKEYS']], ['live', ['PSUBSCRIBE']], ['live?source=monitor', ['MONITOR']],
    ]) {
      await page.goto(`${console.url}/#/${place}`);
      for (const name of names) await refused(name);
      assert.deepEqual(await violations(page), [], place);
      await picture(page, `few-rights-${place.replace(/\W/g, '-')}`);
    }
    await page.goto(`${console.url}/#/live`);
    assert.equal(await page.getByRole('button', { name: 'Start', exact: true }).isDisabled(), true);
    for (const [place, text] of [['keys', 'shown:1'], ['keys/t:shown%3A1?db=0', 'visible'], ['keys/t:shown%3A2?db=0', 'Fields'], ['state', 'may not run INFO'], ['clients', 'CLIENT LIST'], ['live', 'PSUBSCRIBE']]) {
      await page.goto(`${console.url}/#/${place}`);
      await page.locator('main').getByText(text).first().waitFor();
      for (const name of ['New key', 'Edit', 'Delete', 'Rename', 'Expiry', 'Add', 'Remove', 'Kill', 'Publish', 'Save a snapshot', 'Rewrite the append-only file']) {
        assert.equal(await page.getByRole('button', { name, exact: true }).count(), 0, `${name} in ${place}`);
      }
    }
    // Nothing of it at the edge of the page, where it would be said again and again.
    assert.equal(await page.locator('.note').count(), 0);
    // With more rights there is more to do, as soon as the page asks for them.
    await admin(console, 'ACL SETUSER looker +set +unlink');
    await page.goto(`${console.url}/#/keys/t:shown%3A1?db=0`);
    await until('its rights are asked for', async () => {
      await page.goto(`${console.url}/#/overview`);
      await page.goto(`${console.url}/#/keys/t:shown%3A1?db=0`);
      await page.getByText('visible').waitFor();
      return (await page.getByRole('button', { name: 'Delete', exact: true }).count()) === 1;
    }, 20_000);
    assert.equal(await page.getByRole('button', { name: 'Rename', exact: true }).count(), 0);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await console.stop();
  }
});

test('the slow log of who may only run SLOWLOG, and keys of who may not look for them', async () => {
  const console = await Console.start('--slowlog-log-slower-than', '0');
  try {
    await console.call('CONFIG', 'SET', 'requirepass', 'secret');
    await admin(console, 'SET shown:1 visible', 'ACL SETUSER watcher on >word ~* +get +slowlog +info');
    const page = await open(browser, console.url);
    await logIn(page, 'watcher', 'word');
    await page.getByRole('heading', { name: 'Operations a second' }).waitFor();
    await page.goto(`${console.url}/#/slow`);
    const entry = page.getByRole('region', { name: 'Entries of the log' }).getByText('SET shown:1 visible');
    await entry.waitFor();
    await page.locator('#log').selectOption('Large replies');
    await page.getByText('Your user may not run COMMANDLOG GET.').waitFor();
    await page.locator('#log').selectOption('Slow requests');
    await entry.waitFor();
    await page.getByRole('button', { name: 'Clear', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Clear', exact: true }).click();
    await entry.waitFor({ state: 'detached' });
    await page.goto(`${console.url}/#/keys`);
    await page.getByText('Your user may not run SCAN.').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Search' }).count(), 0);
    assert.deepEqual(await violations(page), []);
    await picture(page, 'few-rights-no-scan');
    // One whose name is known is shown.
    await page.getByLabel('Name of a key').fill('shown:1');
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await page.getByText('Your user may not run TYPE.').waitFor();
    await admin(console, 'ACL SETUSER watcher +type +strlen +getrange');
    await page.goto(`${console.url}/#/keys`);
    await page.getByLabel('Name of a key').fill('shown:1');
    await page.getByLabel('Name of a key').press('Enter');
    await page.getByRole('heading', { name: 'shown:1' }).waitFor();
    await page.getByText('visible').waitFor();
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await console.stop();
  }
});

test('pages of others get nothing', async () => {
  const console = await Console.start();
  const other = await Console.start();
  try {
    const page = await open(browser, other.url);
    await page.getByText('Healthy').waitFor();
    const results = await page.evaluate(async (url) => {
      const tries = [
        ['GET', '/api/session', { 'X-Kvarts-Console': '1' }],
        ['POST', '/api/command', { 'X-Kvarts-Console': '1' }],
        ['POST', '/api/command', {}],
      ];
      return Promise.all(tries.map(([method, path, headers]) =>
        fetch(url + path, { method, headers, mode: 'cors', body: method === 'POST' ? '{"commands":[["SET","k","v"]]}' : undefined })
          .then((response) => response.status, () => 'refused')));
    }, console.url);
    assert.deepEqual(results, ['refused', 'refused', 'refused']);
    assert.equal(await console.call('EXISTS', 'k'), 0);
    await page.context().close();
  } finally {
    await console.stop();
    await other.stop();
  }
});

test('slots of a cluster', async () => {
  const console = await Console.start('--cluster-enabled', 'yes', '--console', 'read-only');
  try {
    const filler = net.connect(console.server.port, '127.0.0.1');
    filler.end(Array.from({ length: 2000 }, (_, at) => `SET key:${at % 50 === 0 ? '{tag}' : ''}${at} v\r\n`).join(''));
    await new Promise((resolve) => { filler.resume().on('close', resolve); });
    const page = await open(browser, console.url, {}, '/#/slots');
    await page.getByText('2,000').waitFor();
    await page.getByRole('img', { name: 'Keys in each of 16384 slots' }).waitFor();
    await page.getByRole('table', { name: 'Fullest slots' }).getByText('40', { exact: true }).first().waitFor();
    assert.equal(await page.getByLabel('Read only').isDisabled(), true);
    assert.deepEqual(await violations(page), []);
    await picture(page, 'slots-cluster');
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await console.stop();
  }
});

test('hot and big keys of who may read some keys', async () => {
  const console = await Console.start('--key-sizes', 'yes', '--hotkeys-top-k', '16', '--hotkeys-window-seconds', '1', '--hotkeys-sampling-percentage', '100');
  try {
    await console.call('CONFIG', 'SET', 'requirepass', 'secret');
    await admin(console, 'RPUSH app:1 a b', 'RPUSH secret:1 a b', 'HOTKEYS START METRICS 1 NET', 'GET secret:2', 'GET app:2', 'ACL SETUSER some on >word +@all ~app:*');
    const page = await open(browser, console.url);
    await logIn(page, 'some', 'word');
    await page.getByRole('heading', { name: 'Operations a second' }).waitFor();
    await page.goto(`${console.url}/#/hot`);
    await page.getByText('Only keys that you may read are shown and counted.').waitFor();
    for (const table of ['Largest keys by memory', 'Largest keys by elements', 'Prefixes', 'Hot keys: By network traffic']) {
      await page.getByRole('table', { name: table }).getByText(/^app:/).first().waitFor();
    }
    await page.getByRole('button', { name: 'Reload' }).click();
    assert.equal(await page.getByText('secret').count(), 0);
    assert.deepEqual(await violations(page), []);
    await picture(page, 'few-rights-hot');
    // What changes is seen once rights are asked for again.
    await admin(console, 'ACL SETUSER some allkeys');
    await until('its rights are asked for', async () => {
      await page.goto(`${console.url}/#/overview`);
      await page.goto(`${console.url}/#/hot`);
      await page.getByRole('table', { name: 'Prefixes' }).getByText('secret:').first().waitFor();
      return (await page.getByText('Only keys that you may read').count()) === 0;
    }, 20_000);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await console.stop();
  }
});

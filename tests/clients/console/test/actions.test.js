/** What can be done with the console, each thing once, as a user does it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import { Console, launch, open, picture, until, violations } from '../lib/browser.js';
import { fill } from '../lib/data.js';

let console;
let browser;
let page;

before(async () => {
  console = await Console.start('--slowlog-log-slower-than', '0', '--key-sizes', 'yes', '--enable-debug-command', 'yes');
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await console?.stop();
});

beforeEach(async () => {
  await console.run([['FLUSHALL'], ['CONFIG', 'SET', 'maxmemory', '0', 'notify-keyspace-events', '']]);
  await fill(console);
  page = await open(browser, console.url);
  await page.getByText('Healthy').waitFor();
});

afterEach(async () => {
  assert.deepEqual(page.problems, []);
  await page.context().close();
});

const go = (place) => page.goto(`${console.url}/#/${place}`);
const press = (name, within = page) => within.getByRole('button', { name, exact: true }).click();
const dialog = () => page.getByRole('dialog');
// Waits until the key's page tells `text` of `name`; what a table or a dialog says does not count.
const told = (name, text) => page.locator('dl.facts > div').filter({ has: page.getByText(name, { exact: true }) })
  .getByText(text).waitFor();

test('keys are found by pattern and type', async () => {
  await go('keys');
  await page.getByLabel('Pattern').fill('user:1?');
  await page.getByLabel('Pattern').press('Enter');
  await page.getByText('10 found').waitFor();
  assert.equal(await page.locator('tbody tr').count(), 10);
  await page.getByLabel('Type').selectOption('string');
  await press('Search');
  await page.getByText('No key matches.').waitFor();
  assert.match(page.url(), /match=user%3A1%3F&type=string/);
  // An address leads to the same.
  await go('keys?db=3&match=in*');
  await page.getByRole('link', { name: 'in three' }).click();
  await page.getByText('of database 3').waitFor();
  assert.equal(await page.getByLabel('Database').inputValue(), '3');
});

test('many keys come in pages', async () => {
  // On a slow machine it takes longer than a request may, and goes on without it.
  await console.run([['DEBUG', 'POPULATE', '1000000']]);
  await until('a million keys are there', async () => (await console.call('DBSIZE')) > 1_000_000, 120_000);
  await go('keys');
  await page.getByText('1,000,64').first().waitFor();
  // One that is named is asked for, and not looked for among all.
  for (const [pattern, name] of [['user:7', 'user:7'], ['user\\:8', 'user:8'], ['odd\\*\\[name', 'odd*[name']]) {
    await console.call('HSETNX', name, 'kept', '1');
    await page.getByLabel('Pattern').fill(pattern);
    await press('Search');
    await page.getByText('The key of this name.').waitFor();
    assert.deepEqual(await page.locator('tbody a').allInnerTexts(), [name]);
    assert.equal(await page.getByRole('button', { name: 'More', exact: true }).count(), 0);
  }
  await page.getByLabel('Type').selectOption('string');
  await press('Search');
  await page.getByText('There is no such key of this type in database 0.').waitFor();
  await page.getByLabel('Type').selectOption('');
  await page.getByLabel('Pattern').fill('nobody');
  await press('Search');
  await page.getByText('There is no such key in database 0.').waitFor();
  assert.deepEqual(await violations(page), []);
  // What is told of prefixes is known within bounds.
  await go('hot');
  const keys = page.getByRole('table', { name: 'Prefixes' }).getByRole('row').filter({ has: page.getByRole('link', { name: /^key:?$/ }) });
  await keys.getByText(/^[\d,]+ ± [\d,]+$/).waitFor();
  await keys.getByText(/^[\d.]+ MB ± [\d.]+ [KM]?B$/).waitFor();
  assert.match(await page.getByRole('list', { name: 'Memory by prefix' }).locator('a').first().getAttribute('title'), /MB ± .*, [\d,]+ ± [\d,]+ keys$/);
  await go('keys');
  await page.getByLabel('Pattern').fill('user:[7]');
  await press('Search');
  await page.getByText('looked at').waitFor();
  await until('it is found', async () => {
    if (await page.getByRole('link', { name: 'user:7', exact: true }).isVisible()) return true;
    const more = page.getByRole('button', { name: 'More', exact: true });
    if (await more.isEnabled().catch(() => false)) await more.click();
    return false;
  }, 60_000);
  await page.getByRole('link', { name: 'user:7', exact: true }).click();
  await page.getByText('Name 7').waitFor();
});

test('a hash is changed', async () => {
  await go('keys/t:user%3A7?db=0');
  const row = (name) => page.getByRole('row', { name });
  await press('Edit', row('name'));
  await dialog().getByLabel('Value of name').fill('Another name');
  assert.deepEqual(await violations(page), []);
  await press('Save', dialog());
  await row('Another name').waitFor();
  assert.equal(await console.call('HGET', 'user:7', 'name'), 'Another name');
  await press('Remove', row('mail'));
  await press('Cancel', dialog());
  assert.equal(await console.call('HEXISTS', 'user:7', 'mail'), 1);
  await press('Remove', row('mail'));
  await press('Remove', dialog());
  await row('mail').waitFor({ state: 'detached' });
  assert.equal(await console.call('HEXISTS', 'user:7', 'mail'), 0);
  await press('Add');
  await dialog().getByLabel('Field').fill('colour');
  await dialog().getByLabel('Value').fill('green\nand blue');
  await press('Add', dialog());
  await row('colour').waitFor();
  assert.equal(await console.call('HGET', 'user:7', 'colour'), 'green\nand blue');
});

test('lists, sets, sorted sets and streams are changed, and turned page by page', async () => {
  await go('keys/t:queue%3Amail?db=0');
  await press('Edit', page.getByRole('row', { name: 'job 3', exact: false }).first());
  await dialog().getByLabel('Element').fill('job three');
  await press('Save', dialog());
  await page.getByText('job three').waitFor();
  assert.equal(await console.call('LINDEX', 'queue:mail', 3), 'job three');
  await press('Next');
  await page.getByText('job 100', { exact: true }).waitFor();
  await press('Before');
  await page.getByText('job 0', { exact: true }).waitFor();
  await go('keys/t:board%3Aweek?db=0');
  await press('Edit', page.getByRole('row', { name: 'player 2', exact: false }).first());
  await dialog().getByLabel('Score of player 2').fill('0.25');
  await press('Save', dialog());
  await page.getByRole('row', { name: 'player 2', exact: false }).getByText('0.25', { exact: true }).waitFor();
  await go('keys/t:tags?db=0');
  await press('Add');
  await dialog().getByLabel('Member').fill('tag-new');
  await dialog().getByLabel('Member').press('Enter');
  await told('Members', '251');
  assert.equal(await console.call('SISMEMBER', 'tags', 'tag-new'), 1);
  await go('keys/t:events?db=0');
  await press('Remove', page.locator('tbody tr').first());
  await press('Remove', dialog());
  await told('Entries', '249');
});

test('a string is changed, and its key renamed, given an end, and deleted', async () => {
  await go('keys/t:session%3A9?db=0');
  await press('Indent JSON');
  await page.getByText('"roles": [').waitFor();
  await press('Edit');
  await dialog().getByLabel('Value').fill('plain');
  await press('Save', dialog());
  await page.getByText('plain', { exact: true }).waitFor();
  await press('Expiry');
  await dialog().getByLabel('Seconds').fill('100');
  await press('Set', dialog());
  await told('Ends in', '1 min');
  assert.ok(await console.call('TTL', 'session:9') > 90);
  await press('Rename');
  await dialog().getByLabel('New name').fill('session/ninth?');
  await press('Rename', dialog());
  await page.getByRole('heading', { name: 'session/ninth?' }).waitFor();
  await press('Delete');
  await press('Delete', dialog());
  await page.getByRole('heading', { name: 'Keys', exact: true }).waitFor();
  assert.equal(await console.call('EXISTS', 'session/ninth?'), 0);
  await press('New key');
  await dialog().getByLabel('Key').fill('fresh');
  await dialog().getByLabel('Value').fill('made here');
  await press('Create', dialog());
  await page.getByText('made here').waitFor();
  await go('keys/t:long?db=0');
  await press('Next');
  await page.getByText('bytes 16,384 to 32,768 of 60,000').waitFor();
});

test('what others have written meanwhile is not overwritten unasked', async () => {
  await console.run([['HSET', 'both', 'field', 'old'], ['RPUSH', 'line', 'old'], ['ZADD', 'ranks', '1.5', 'member'], ['SET', 'word', 'old', 'EX', 1000]]);
  const plain = (reply) => reply.double ?? reply;
  const question = () => page.getByRole('dialog').filter({ hasText: 'Overwrite what somebody else wrote?' });
  for (const [key, label, write, read, theirs, mine] of [
    ['both', 'Value of field', ['HSET', 'both', 'field', 'theirs'], ['HGET', 'both', 'field'], 'theirs', 'mine'],
    ['line', 'Element', ['LSET', 'line', 0, 'theirs'], ['LINDEX', 'line', 0], 'theirs', 'mine'],
    ['ranks', 'Score of member', ['ZADD', 'ranks', '2.5', 'member'], ['ZSCORE', 'ranks', 'member'], { double: '2.5' }, '3.5'],
    ['word', 'Value', ['SET', 'word', 'theirs', 'KEEPTTL'], ['GET', 'word'], 'theirs', 'mine'],
  ]) {
    await go(`keys/t:${key}?db=0`);
    await press('Edit');
    await console.run([write]);
    await dialog().getByLabel(label, { exact: true }).fill(mine);
    await press('Save', dialog());
    await question().getByText(plain(theirs)).waitFor();
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(await console.call(...read), theirs, 'it is asked first');
    await press('Cancel', question());
    // What was typed is still there, and it is asked again.
    await dialog().getByText('changed by somebody else').waitFor();
    assert.equal(await dialog().getByLabel(label, { exact: true }).inputValue(), mine);
    await press('Save', dialog());
    await press('Overwrite', question());
    await page.locator('main').getByText(mine, { exact: true }).first().waitFor();
    assert.equal(plain(await console.call(...read)), mine);
    // Without another writer nothing is asked.
    await press('Edit');
    await dialog().getByLabel(label, { exact: true }).fill('7');
    await press('Save', dialog());
    await until('it is stored', async () => plain(await console.call(...read)) === '7');
    assert.equal(await dialog().count(), 0);
  }
  assert.ok(await console.call('TTL', 'word') > 900);
  await press('Edit');
  await console.call('DEL', 'word');
  await press('Save', dialog());
  await dialog().getByText('removed or replaced').waitFor();
  assert.equal(await console.call('EXISTS', 'word'), 0);
});

test('a question is closed with the view that it is of', async () => {
  await go('keys/t:user%3A7?db=0');
  await page.getByText('Name 7').waitFor();
  await go('keys/t:user%3A8?db=0');
  await page.getByText('Name 8').waitFor();
  for (const [name, within] of [['Delete', page], ['Edit', page.getByRole('row', { name: 'Name 8' })]]) {
    await press(name, within);
    await dialog().waitFor();
    await page.goBack();
    await page.getByText('Name 7').waitFor();
    assert.equal(await dialog().count(), 0, name);
    await page.goForward();
    await page.getByText('Name 8').waitFor();
  }
  assert.equal(await console.call('EXISTS', 'user:8'), 1);
});

test('buttons are in sight in a narrow window', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const [place, names] of [
    ['clients', [/^Kill client/]], ['config', [/^Change metrics-port|^Change slowlog/]],
    ['keys/t:user%3A7?db=0', ['Edit', 'Remove', 'Delete', 'Add', 'Expiry', 'Rename']], ['keys/t:events?db=0', ['Remove']], ['keys/t:board%3Aweek?db=0', ['Edit', 'Remove']],
  ]) {
    await go(place);
    for (const name of names) {
      const found = page.locator('main').getByRole('button', { name, exact: typeof name === 'string' }).first();
      await found.waitFor();
      const { x, width } = await found.boundingBox();
      assert.ok(x >= 0 && x + width <= 360, `${name} in ${place}: from ${x} to ${x + width}`);
    }
    if (place.includes('events')) {
      // The button is not over the values.
      const [fields, remove] = await Promise.all([page.locator('tbody td.wide'), page.getByRole('button', { name: 'Remove', exact: true })]
        .map((all) => all.first().boundingBox()));
      assert.ok(remove.y + remove.height <= fields.y || remove.x >= fields.x + fields.width, JSON.stringify({ fields, remove }));
    }
    assert.deepEqual(await violations(page), [], place);
    await picture(page, `narrow-${place.replace(/\W/g, '-')}`);
  }
});

test('elements that are too long together are shown in part', async () => {
  for (let at = 0; at < 6; at += 1) await console.call('RPUSH', 'tall', `${at}-${'x'.repeat(900_000)}`);
  await console.call('RPUSH', 'tall', 'short one');
  await go('keys/t:tall?db=0');
  await page.getByText('short one', { exact: true }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 7);
  await page.locator('summary').first().click();
  await page.getByText('(900,002 bytes, the rest is not shown)').first().waitFor();
  // What is not all there cannot be changed by it.
  assert.equal(await page.getByRole('button', { name: 'Edit', exact: true }).count(), 1);
});

test('a field keeps its end when it is changed', async () => {
  await console.run([['HSET', 'ends', 'code', '1234'], ['HEXPIRE', 'ends', 1000, 'FIELDS', 1, 'code']]);
  await go('keys/t:ends?db=0');
  await press('Edit', page.getByRole('row', { name: 'code' }));
  await dialog().getByLabel('Value of code').fill('5678');
  await press('Save', dialog());
  await page.getByText('5678', { exact: true }).waitFor();
  assert.ok((await console.call('HTTL', 'ends', 'FIELDS', 1, 'code'))[0] > 900);
});

test('ends of fields and members are shown', async () => {
  await console.run([
    ['HSET', 'ends', 'code', '1234', 'name', 'kept'], ['HEXPIRE', 'ends', 1000, 'FIELDS', 1, 'code'],
    ['SADD', 'invited', 'ann', 'ben'], ['SEXPIRE', 'invited', 1000, 'MEMBERS', 1, 'ben'],
  ]);
  for (const [key, ending, staying] of [['ends', 'code', 'name'], ['invited', 'ben', 'ann']]) {
    await go(`keys/t:${key}?db=0`);
    await page.getByRole('row', { name: ending }).getByText(/^ends in 16 min \d+ s$/).waitFor();
    assert.equal(await page.getByRole('row', { name: staying }).getByText('ends in').count(), 0);
    assert.deepEqual(await violations(page), []);
  }
  await go('keys/t:user%3A7?db=0');
  await page.getByText('Name 7').waitFor();
  assert.equal(await page.getByText('ends in', { exact: false }).filter({ hasText: /^ends/ }).count(), 0);
});

test('groups of a stream are shown with their consumers', async () => {
  const groups = page.getByRole('table', { name: 'Groups' });
  await go('keys/t:events?db=0');
  await page.getByText('kind: click').first().waitFor();
  assert.equal(await groups.count(), 0);
  await console.run([
    ['XGROUP', 'CREATE', 'events', 'mailers', '0'], ['XGROUP', 'CREATE', 'events', 'resting', '$'],
    ['XREADGROUP', 'GROUP', 'mailers', 'ann', 'COUNT', 3, 'STREAMS', 'events', '>'], ['XREADGROUP', 'GROUP', 'mailers', 'ben', 'COUNT', 7, 'STREAMS', 'events', '>'],
  ]);
  const [, [[last]]] = (await console.call('XREADGROUP', 'GROUP', 'mailers', 'ben', 'COUNT', 1, 'STREAMS', 'events', '>')).map?.[0] ?? [];
  await press('Reload');
  const cells = (name) => groups.getByRole('row', { name }).getByRole('cell').allInnerTexts();
  await groups.waitFor();
  const [name, pending, lag, lastEntry, consumers] = await cells('mailers');
  assert.deepEqual([name, pending, lag, lastEntry], ['mailers', '11', '239', last]);
  assert.match(consumers, /^ben: 8 pending, idle for \d+ s\s+ann: 3 pending, idle for \d+ s$/);
  assert.deepEqual((await cells('resting')).filter((_, at) => at !== 3), ['resting', '0', '0', '0']);
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 740 });
    assert.deepEqual(await violations(page), []);
    await picture(page, `stream-groups-${width}`);
  }
});

test('names and values are shown as they are, whatever they are', async () => {
  await go('keys?match=*markup*');
  await page.getByRole('link', { name: '<b id=x>markup</b> & "quotes"' }).click();
  await page.getByText('<script>globalThis.smuggled = true</script>').waitFor();
  assert.equal(await page.evaluate(() => globalThis.smuggled), undefined);
  assert.equal(await page.locator('#x').count(), 0);
  await go('keys?match=path*');
  await page.getByRole('link', { name: 'path/with?odd#marks%' }).click();
  await page.getByText('odd', { exact: true }).waitFor();
  await go('keys?match=*binary');
  await page.getByRole('link', { name: '\\x00\\xff\\x01binary' }).click();
  await page.getByText('\\xff\\x00\\x01\\x02\\x03').waitFor();
});

test('who only reads changes nothing', async () => {
  await page.getByLabel('Read only').check();
  for (const [place, text, names] of [
    ['keys/t:user%3A7?db=0', 'Name 7', ['Edit', 'Delete', 'Add', 'Remove', 'Expiry']],
    ['clients', 'console', ['Kill']],
    ['config', 'metrics-port', ['Change']],
    ['slow', 'Commands by time', ['Clear']],
    ['live', 'Not started.', ['Publish']],
  ]) {
    await go(place);
    await page.getByText(text).first().waitFor();
    for (const name of names) assert.equal(await page.getByRole('button', { name, exact: true }).count(), 0, `${name} in ${place}`);
  }
  await go('line');
  await page.getByLabel('Command', { exact: true }).fill('DEL user:7');
  await press('Run');
  await page.getByText('READONLY This client only looks').waitFor();
  assert.equal(await console.call('EXISTS', 'user:7'), 1);
  await page.reload();
  assert.equal(await page.getByLabel('Read only').isChecked(), true, 'the browser keeps it');
});

test('the command line', async () => {
  await go('line');
  const line = page.getByLabel('Command', { exact: true });
  const output = page.getByRole('log');
  const run = async (text, expected) => {
    await line.fill(text);
    await line.press('Enter');
    await output.getByText(expected).last().waitFor();
  };
  await run('SET greeting "hello \\x41 world"', 'OK');
  await run('GET greeting', '"hello A world"');
  await run('HGETALL user:7', '"name" => "Name 7"');
  await run('GET', '(error) ERR wrong number of arguments');
  await run('GET "open', 'Quotes are not closed.');
  await run('MULTI', 'OK');
  await run('INCR n', 'QUEUED');
  await run('INCR n', 'QUEUED');
  await run('EXEC', '2) (integer) 2');
  await run('SUBSCRIBE c', 'shows them');
  await run('SELECT 3', 'OK');
  await run('GET "in three"', '"of database 3"');
  await run('SELECT 99', 'out of range');
  await line.press('ArrowUp');
  await line.press('ArrowUp');
  assert.equal(await line.inputValue(), 'GET "in three"');
  await line.fill('FLUSHALL');
  await line.press('Enter');
  assert.equal(await dialog().getByRole('button', { name: 'Run' }).isDisabled(), true);
  await press('Cancel', dialog());
  await output.getByText('Not run.').waitFor();
  assert.ok(await console.call('DBSIZE') > 600);
});

test('messages are shown as they come', async () => {
  const messages = page.getByLabel('Messages');
  await go('live');
  await page.getByRole('textbox', { name: 'Pattern' }).fill('news.*');
  await press('Start');
  await page.getByText('Listening.').waitFor();
  await console.call('PUBLISH', 'news.today', 'something <i>happened</i>');
  await messages.getByText('something <i>happened</i>').waitFor();
  await press('Publish');
  await dialog().getByLabel('Channel').fill('news.own');
  await dialog().getByLabel('Message').fill('from here');
  await press('Publish', dialog());
  await messages.getByText('from here').waitFor();
  assert.deepEqual(await violations(page), []);
  await press('Stop');
  await until('its client is gone', async () => (await console.call('PUBSUB', 'NUMPAT')) === 0);
  await page.getByLabel('Source').selectOption('keys');
  await press('Start');
  await press('Switch on', dialog());
  await page.getByText('Listening.').waitFor();
  await console.call('SET', 'watched', '1');
  await messages.getByText('watched').waitFor();
  await page.getByLabel('Source').selectOption('monitor');
  await press('Start');
  await page.getByText('Listening.').waitFor();
  await console.call('ECHO', 'seen by all');
  await messages.getByText('seen by all').waitFor();
  // Whoever leaves the view leaves the stream.
  await go('overview');
  await until('its client is gone', async () => !text(await console.call('CLIENT', 'LIST')).includes('flags=O'));
});

test('a client is killed', async () => {
  const socket = net.connect(console.server.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('CLIENT SETNAME victim\r\n');
  await once(socket, 'data');
  await go('clients');
  const row = page.getByRole('row', { name: 'victim' });
  await row.getByRole('button').click();
  const closed = once(socket, 'close');
  await press('Kill', dialog());
  await closed;
  await page.getByLabel('Filter').fill('victim');
  await page.getByText('No client passes the filter.').waitFor();
});

test('the configuration is changed', async () => {
  await go('config');
  assert.equal(await page.getByRole('row', { name: 'maxmemory ', exact: false }).filter({ hasText: 'Bytes of data' }).count(), 0);
  await page.getByLabel('Only what differs').uncheck();
  await page.getByRole('searchbox', { name: 'Name' }).fill('maxmemory');
  await page.getByRole('button', { name: 'Change maxmemory', exact: true }).click();
  await dialog().getByRole('textbox').fill('64mb');
  await press('Set', dialog());
  await page.getByText('67108864').waitFor();
  assert.equal((await console.call('CONFIG', 'GET', 'maxmemory')).map[0][1], '67108864');
  await page.getByRole('button', { name: 'Change maxmemory-policy' }).click();
  await dialog().getByRole('textbox').fill('nonsense');
  await press('Set', dialog());
  await page.getByText('CONFIG SET failed').waitFor();
});

test('passwords of the configuration are hidden until somebody wants to see them', async () => {
  await console.call('CONFIG', 'SET', 'primaryauth', 'hunter2');
  try {
    await go('config');
    await page.getByText('••••••').first().waitFor();
    assert.equal((await page.locator('main').innerText()).includes('hunter2'), false);
    assert.deepEqual(await violations(page), []);
    await picture(page, 'config-secret');
    await page.getByRole('button', { name: 'Change primaryauth', exact: true }).click();
    assert.equal(await dialog().getByLabel(/./).first().getAttribute('type'), 'password');
    await picture(page, 'config-secret-dialog');
    await press('Cancel', dialog());
    await press('Show primaryauth');
    await page.getByText('hunter2', { exact: true }).waitFor();
    await press('Hide primaryauth');
    await page.getByText('hunter2').waitFor({ state: 'detached' });
  } finally {
    await console.call('CONFIG', 'SET', 'primaryauth', '');
  }
});

test('slow requests are shown, and the log cleared', async () => {
  await console.call('LRANGE', 'queue:mail', 0, -1);
  await go('slow');
  // Where it took long, it is among the requests with their parts as well.
  const entry = page.getByRole('region', { name: 'Entries of the log' }).getByText('LRANGE queue:mail 0 -1');
  await entry.waitFor();
  await page.getByRole('table', { name: 'Commands by time' }).getByText('lrange').waitFor();
  await press('Advice');
  await page.getByRole('heading', { name: 'Advice' }).waitFor();
  await press('Clear');
  await press('Clear', dialog());
  await entry.waitFor({ state: 'detached' });
});

test('a prefix leads to its keys, a hot key to its value', async () => {
  for (let round = 0; round < 20; round += 1) await console.run(Array.from({ length: 500 }, () => ['GET', 'long']));
  await go('hot');
  await page.getByRole('list', { name: 'Memory by prefix' }).getByText('session:').click();
  await page.getByText('looked at').waitFor();
  assert.equal(await page.getByLabel('Pattern').inputValue(), 'session:*');
  await page.goBack();
  // Strings are of one element each.
  const elements = page.getByRole('region', { name: 'Largest keys by elements' });
  await elements.getByText('queue:mail').waitFor();
  assert.equal(await elements.getByText('string', { exact: true }).count(), 0);
  await page.getByRole('region', { name: 'Largest keys by memory' }).getByText('long').click();
  await page.getByText('lorem ipsum').first().waitFor();
});

test('a snapshot is asked for', async () => {
  await go('state');
  await press('Save a snapshot');
  await press('Save', dialog());
  await page.getByText('It has begun.').waitFor();
  await until('it is written', async () => /rdb_last_bgsave_status:ok/.test(text(await console.call('INFO', 'persistence'))));
});

/** A reply that is a text, as the API writes it. */
function text(reply) {
  return reply.text ?? reply;
}

test('figures beyond what is well are said to be, with what to do', async () => {
  const blocked = net.connect(console.server.port, '127.0.0.1');
  blocked.write('BLPOP nothing 0\r\n');
  await console.call('CONFIG', 'SET', 'maxmemory', '3mb');
  await console.run([['SET', 'filler', 'x'.repeat(500_000)], ['SET', 'more', 'x'.repeat(400_000)]]);
  const chart = (name) => page.locator('.chart').filter({ has: page.getByRole('heading', { name, exact: true }) });
  const misses = setInterval(() => console.run(Array.from({ length: 100 }, () => ['GET', 'missing'])).catch(() => {}), 200);
  try {
    await chart('Blocked clients').getByText('Consumers that wait').waitFor();
    await chart('Hit rate').getByText('Under 80 %').waitFor();
    await chart('Memory').getByText('Over 80 % of maxmemory').waitFor();
  } finally {
    clearInterval(misses);
    blocked.destroy();
  }
  assert.deepEqual(await violations(page), []);
});

test('all of it works by the keyboard', async () => {
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
  await page.getByRole('link', { name: 'Keys', exact: true }).focus();
  await page.keyboard.press('Enter');
  await page.getByLabel('Pattern').focus();
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.type('tags');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'tags' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'tags' }).waitFor();
  await page.getByRole('button', { name: 'Delete' }).focus();
  await page.keyboard.press('Enter');
  await dialog().waitFor();
  await page.keyboard.press('Escape');
  await dialog().waitFor({ state: 'detached' });
  assert.equal(await console.call('EXISTS', 'tags'), 1);
});

/** Keys of every kind, and some traffic. */

export async function fill(console) {
  const commands = [];
  for (let user = 0; user < 300; user += 1) {
    commands.push(['HSET', `user:${user}`, 'name', `Name ${user}`, 'mail', `user${user}@example.org`, 'visits', user]);
    if (user % 3 === 0) commands.push(['EXPIRE', `user:${user}`, 3600 + user]);
    commands.push(['SET', `session:${user}`, JSON.stringify({ user, roles: ['reader'], since: 1700000000 + user })]);
    commands.push(['INCRBY', `count:page:${user % 40}`, user]);
  }
  for (let at = 0; at < 250; at += 1) {
    commands.push(['RPUSH', 'queue:mail', `job ${at}`]);
    commands.push(['ZADD', 'board:week', at * 1.5, `player ${at}`]);
    commands.push(['SADD', 'tags', `tag-${at}`]);
    commands.push(['XADD', 'events', '*', 'kind', 'click', 'at', at]);
  }
  commands.push(['SET', 'long', 'lorem ipsum '.repeat(5000)]);
  commands.push(['SET', { base64: 'AP8BYmluYXJ5' }, { base64: '/wABAgM=' }]);
  commands.push(['SET', '<b id=x>markup</b> & "quotes"', '<script>globalThis.smuggled = true</script>']);
  commands.push(['SET', 'path/with?odd#marks%', 'odd']);
  await console.run(commands);
  await console.run([['SET', 'in three', 'of database 3']], 3);
}

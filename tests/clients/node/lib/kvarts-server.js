/** A real server for a test: the binary that KVARTS_BIN names, on free loopback ports, with a data directory of its own. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, openSync, closeSync, readFileSync, mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import tls from 'node:tls';

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;
const LOG_LINES_SHOWN = 40;

export class KvartsServer {
  /** Resolves once the server answers on both ports. */
  static async start(...flags) {
    const binary = process.env.KVARTS_BIN;
    if (!binary) throw new Error("KVARTS_BIN must name the server's binary");
    const server = new KvartsServer();
    [server.port, server.readOnlyPort] = await twoFreePorts();
    server.directory = mkdtempSync(path.join(tmpdir(), 'kvarts-node-'));
    server.logFile = path.join(server.directory, 'server.log');
    const log = openSync(server.logFile, 'w');
    server.process = spawn(
      binary,
      ['--port', server.port, '--read-only-port', server.readOnlyPort, '--dir', server.directory, ...flags].map(String),
      { stdio: ['ignore', log, log] },
    );
    closeSync(log);
    server.ended = once(server.process, 'exit').then(([code, signal]) => code ?? signal);
    try {
      await until('the server answers on both ports', async () => {
        if (server.process.exitCode !== null) throw new Error(`the server ended with ${server.process.exitCode}`);
        const overTls = flags.includes('elasticache-serverless');
        return (await answers(server.port, overTls)) && (await answers(server.readOnlyPort, overTls));
      }, START_LIMIT_MS);
    } catch (error) {
      server.process.kill('SIGKILL');
      const text = server.endOfLog();
      rmSync(server.directory, { recursive: true });
      throw new Error(`the server did not start: ${error.message}; the end of its log:\n${text}`);
    }
    return server;
  }

  /** The CA's certificate, PEM. The server makes it when the first TLS client comes, so this is that client. */
  async caCertificate() {
    const file = path.join(this.directory, 'tls', 'ca.crt');
    if (!existsSync(file)) {
      const socket = tls.connect({ host: '127.0.0.1', port: this.port, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      socket.destroy();
      await until(`${file} is there`, () => existsSync(file), START_LIMIT_MS);
    }
    return readFileSync(file, 'utf8');
  }

  async stop() {
    this.process.kill('SIGTERM');
    const limit = new AbortController();
    const ended = await Promise.race([this.ended, delay(STOP_LIMIT_MS, undefined, { signal: limit.signal }).catch(() => {})]);
    limit.abort();
    const text = this.endOfLog();
    rmSync(this.directory, { recursive: true });
    if (ended === undefined) {
      this.process.kill('SIGKILL');
      throw new Error(`the server did not end when asked to; the end of its log:\n${text}`);
    }
  }

  endOfLog() {
    return readFileSync(this.logFile, 'utf8').split('\n').slice(-LOG_LINES_SHOWN).join('\n');
  }
}

/** Resolves once the condition holds. */
export async function until(what, condition, limitMs = 10_000) {
  const end = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${limitMs} ms: ${what}`);
    await delay(10);
  }
}

/** The next event's arguments, or an error when none comes in time. */
export function next(emitter, event) {
  return once(emitter, event, { signal: AbortSignal.timeout(10_000) });
}

/** Whether the server answers, to TLS without any verification or to a plain client. */
function answers(port, overTls) {
  return new Promise((resolve) => {
    const socket = overTls
      ? tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
      : net.connect(port, '127.0.0.1');
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => resolve(false));
    socket.on(overTls ? 'secureConnect' : 'connect', () => socket.write('PING\r\n'));
    socket.on('data', (data) => {
      resolve(data.toString() === '+PONG\r\n');
      socket.destroy();
    });
  });
}

/** Below the kernel's range for outgoing connections, so that no client takes them meanwhile. */
async function twoFreePorts() {
  const held = [];
  while (held.length < 2) {
    const candidate = net.createServer();
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const free = await new Promise((resolve) => {
      candidate.once('error', () => resolve(false));
      candidate.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (free) held.push(candidate);
  }
  const ports = held.map((one) => one.address().port);
  await Promise.all(held.map((one) => new Promise((resolve) => one.close(resolve))));
  return ports;
}

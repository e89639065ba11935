/**
 * A bad network between browsers and the server: `ninefold-loadtest wire`, started for one test. Conditions are written as on its command line
 * (`ninefold-loadtest wire --help`), here as an object:
 *
 *     const { server, wire } = await serveBehindWire({ 'delay': '20ms', 'down.rate': '3mbit' });
 *     await wire.change({ 'down.rate': '500kbit' });
 *     const { clients, up, down } = await wire.counters();
 *     await server.stop();
 *     await wire.stop();
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from './port.mjs';
import { Server } from './server.mjs';

const BINARY = process.env.NINEFOLD_LOADTEST ?? fileURLToPath(new URL('../../../target/release/ninefold-loadtest', import.meta.url));

/** All that were started; what still runs at the end is ended. */
const children = new Set();
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export class Wire {
  /** `ip:port` that browsers send to. */
  address = '';
  #control = '';
  #child;
  #log = '';

  /** Relays to the UDP port `to` of the loopback. With the same `seed` the same datagrams are lost. `tcp`: connections to that port pass as they are. */
  static async start({ to, conditions = {}, seed = 1, tcp = false }) {
    const wire = new Wire();
    const words = Object.entries(conditions).map((pair) => pair.join('='));
    const child = (wire.#child = spawn(BINARY, ['wire', '--to', `127.0.0.1:${to}`, '--seed', String(seed), ...(tcp ? ['--tcp'] : []), ...words]));
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (wire.#log += data));
    await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`The wire ended with ${code}:\n${wire.#log}`)));
      child.stdout.on('data', () => {
        const ready = /wire on (\S+) control (\S+)/.exec(wire.#log);
        if (ready) resolve(([, wire.address, wire.#control] = ready));
      });
    });
    // A test that has failed does not stop its wire: that must not keep the tests from ending.
    for (const handle of [child, child.stdout, child.stderr]) handle.unref();
    children.add(child);
    return wire;
  }

  /** Changes conditions: `{ 'down.rate': '500kbit', 'client.2.loss': '5%' }`. */
  change(conditions) {
    return this.#ask('/', { method: 'POST', body: JSON.stringify(conditions), headers: { 'content-type': 'application/json' } });
  }

  /** Begins a script: lines such as `at 10s: down.rate=500kbit`. */
  run(script) {
    return this.#ask('/script', { method: 'POST', body: script });
  }

  /** What all links do and have done: `{ up, down, shared, clients: [{ client, address, up, down }] }`. */
  counters() {
    return this.#ask('/');
  }

  /** From now on everybody comes from another port; what is sent to the old one is lost. Gives the number of clients. */
  async rebind() {
    return (await this.#ask('/rebind', { method: 'POST' })).clients;
  }

  async stop() {
    this.#child.ref();
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const [code, signal] = await exited;
    if (code !== 0) throw new Error(`The wire ended with ${code ?? signal}:\n${this.#log}`);
  }

  async #ask(path, options) {
    const response = await fetch(this.#control + path, options);
    const answer = await response.json();
    if (!response.ok) throw new Error(`The wire refuses: ${answer.error}`);
    return answer;
  }
}

/** A server whose media goes through a wire and no other way. `tcp` as for the wire; the other options are those of `Server.start`. */
export async function serveBehindWire(conditions = {}, { tcp, ...options } = {}) {
  const port = await freePort();
  const wire = await Wire.start({ to: port, conditions, tcp });
  const env = { NINEFOLD_MEDIA__PORT: String(port), NINEFOLD_MEDIA__SHARDS: '1', NINEFOLD_MEDIA__TCP: 'false', NINEFOLD_MEDIA__ADVERTISE: wire.address };
  const server = await Server.start({ ...options, env: { ...env, ...options.env } });
  return { server, wire };
}

/** The real binary, started for one test file on free ports. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.NINEFOLD_BIN ?? fileURLToPath(new URL('../../../target/release/ninefold', import.meta.url));

/** Log lines that no test expects. */
const ALARMS = /panicked|"level":"ERROR"|\bERROR\b/;

export class Server {
  /** Where it listens, as it says itself. */
  url = '';
  log = '';
  #child;

  static async start(env = {}) {
    const server = new Server();
    const settings = { NINEFOLD_HTTP__LISTEN: '127.0.0.1:0', NINEFOLD_MEDIA__PORT: '0', ...env };
    const child = (server.#child = spawn(BINARY, ['serve'], { env: { ...process.env, ...settings }, stdio: ['ignore', 'pipe', 'pipe'] }));
    child.stderr.on('data', (data) => (server.log += data));
    server.url = await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`The server ended with ${code}:\n${server.log}`)));
      child.stdout.on('data', (data) => {
        server.log += data;
        const ready = /listening on (\S+)/.exec(server.log);
        if (ready) resolve(ready[1]);
      });
    });
    return server;
  }

  /** Asks it to end, and insists that it does so in order. */
  async stop() {
    const { exitCode } = this.#child;
    const exited = exitCode === null ? once(this.#child, 'exit') : [exitCode, null];
    this.#child.kill('SIGTERM');
    const [code, signal] = await exited;
    if (code !== 0) throw new Error(`The server ended with ${code ?? signal}:\n${this.log}`);
    if (ALARMS.test(this.log)) throw new Error(`The server's log is alarming:\n${this.log}`);
  }

  /** A number of `/metrics`, summed over its labels. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }
}

/** The real binary, started for one test file on free ports. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export const BINARY = process.env.NINEFOLD_BIN ?? fileURLToPath(new URL('../../../target/release/ninefold', import.meta.url));

/** Log lines that no test expects. */
const ALARMS = /panicked|"level":"ERROR"|\bERROR\b/;

/** All that were started; what still runs at the end is ended. */
const children = new Set();
process.once('exit', () => children.forEach((child) => child.kill('SIGKILL')));

export class Server {
  /** Where it listens, as it says itself. */
  url = '';
  log = '';
  #options;
  #child;

  /**
   * `env` has settings, as `NINEFOLD_SECTION__FIELD`; `config` is the path of a file of settings; `args` is what else stands on the command line;
   * `namespace` is where it runs.
   */
  static async start(options = {}) {
    const server = new Server();
    server.#options = options;
    await server.#launch(options.listen ?? '127.0.0.1:0');
    return server;
  }

  async #launch(listen) {
    const { env = {}, config, args = [], namespace } = this.#options;
    const settings = { NINEFOLD_HTTP__LISTEN: listen, NINEFOLD_MEDIA__PORT: '0', ...env };
    const line = ['serve', ...(config ? ['--config', config] : []), ...args];
    const command = namespace ? namespace.command(BINARY, line) : [BINARY, line];
    const child = (this.#child = spawn(...command, { env: { ...process.env, ...settings }, stdio: ['ignore', 'pipe', 'pipe'] }));
    this.log = '';
    child.stderr.on('data', (data) => (this.log += data));
    this.url = await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`The server ended with ${code}:\n${this.log}`)));
      child.stdout.on('data', (data) => {
        this.log += data;
        const ready = /listening on (\S+)/.exec(this.log);
        if (ready) resolve(ready[1]);
      });
    });
    // A test that has failed does not stop its server: that must not keep the tests from ending.
    for (const handle of [child, child.stdout, child.stderr]) handle.unref();
    children.add(child);
  }

  /** Asks it to end, and insists that it does so in order. */
  async stop() {
    const { exitCode } = this.#child;
    const exited = exitCode === null ? this.#exit() : [exitCode, null];
    this.#child.kill('SIGTERM');
    const [code, signal] = await exited;
    if (code !== 0) throw new Error(`The server ended with ${code ?? signal}:\n${this.log}`);
    if (ALARMS.test(this.log)) throw new Error(`The server's log is alarming:\n${this.log}`);
  }

  /** Ends it as a loss of power does. */
  async kill() {
    const exited = this.#exit();
    this.#child.kill('SIGKILL');
    await exited;
  }

  #exit() {
    this.#child.ref();
    return once(this.#child, 'exit');
  }

  /** Starts it again where it was, after `stop` or `kill`. */
  async startAgain() {
    await this.#launch(new URL(this.url).host);
  }

  /** A number of `/metrics`, summed over its labels. */
  async metric(name) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.split('\n').filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
    return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }
}

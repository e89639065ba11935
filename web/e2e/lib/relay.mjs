/**
 * A UDP relay between browsers and the server, which can change the address that the server sees, as a NAT or another network does:
 *
 *     browser ──► front ──► one socket for each browser, replaced by `move` ──► server
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const HOST = '127.0.0.1';

export class Relay {
  #front;
  #target;
  /** By the browser's port: the socket that the server sees. */
  #flows = new Map();

  static async start() {
    const relay = new Relay();
    relay.#front = await bind();
    relay.#front.on('message', (message, { port }) => relay.#flow(port).send(message, relay.#target, HOST));
    return relay;
  }

  /** What browsers send to. */
  get port() {
    return this.#front.address().port;
  }

  set target(port) {
    this.#target = port;
  }

  /** From now on everybody comes from another port; what is sent to the old one is lost. Gives the number of browsers. */
  move() {
    const flows = [...this.#flows.values()];
    this.#flows.clear();
    for (const flow of flows) flow.close();
    return flows.length;
  }

  stop() {
    this.move();
    this.#front.close();
  }

  #flow(port) {
    const known = this.#flows.get(port);
    if (known) return known;
    const flow = createSocket('udp4');
    flow.on('message', (message) => this.#front.send(message, port, HOST));
    this.#flows.set(port, flow);
    return flow;
  }
}

/** A UDP port that is free now. */
export async function freePort() {
  const socket = await bind();
  const { port } = socket.address();
  socket.close();
  return port;
}

async function bind() {
  const socket = createSocket('udp4');
  socket.bind(0, HOST);
  await once(socket, 'listening');
  return socket;
}

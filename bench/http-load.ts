import { Agent, request } from "node:http";

/** How requests are made. */
export interface Load {
  /** Of the server that is connected to. */
  url: URL;
  path: string;
  host: string;
  /** Requests in all. */
  count: number;
  /** Connections that are used side by side, each for one request after the other. */
  connections: number;
}

/** What came of it. */
export interface LoadOutcome {
  perSecond: number;
  /** How long each request took to its end, in milliseconds, in no order. */
  latencies: number[];
}

/** Makes requests, each connection as fast as it is answered. */
export async function load({ url, path, host, count, connections }: Load): Promise<LoadOutcome> {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const latencies: number[] = [];
  let begun = 0;
  const one = async () => {
    while (begun < count) {
      begun++;
      const startedAt = performance.now();
      await get(agent, url, path, host);
      latencies.push(performance.now() - startedAt);
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: connections }, one));
  const seconds = (performance.now() - startedAt) / 1000;
  agent.destroy();
  return { perSecond: count / seconds, latencies };
}

async function get(agent: Agent, url: URL, path: string, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const sent = request(url, { agent, path, headers: { host } }, (answer) => {
    if (answer.statusCode !== 200) reject(new Error(`an answer with ${answer.statusCode}`));
    answer.on("end", resolve).on("error", reject).resume();
  });
  sent.on("error", reject);
  sent.end();
  return promise;
}

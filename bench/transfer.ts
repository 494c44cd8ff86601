import type { Machine } from "@nullspace/sdk";
import type { Bench } from "./bench.ts";
import { AgentMemory } from "./agent-memory.ts";
import type { Figure, Findings, Measurement } from "./measurement.ts";
import { Pattern } from "./pattern.ts";
import { retrying } from "./retry.ts";
import { summarise } from "./statistics.ts";

const MB = 1_000_000;
const MIB = 1024 * 1024;
const PATH = "/workspace/transfer";
/** Each part of a transfer of this size is a sample. */
const SAMPLE_BYTES = 8 * MB;

/** A large file into a machine and out of it, and what memory that takes. */
export const transfer: Measurement = {
  name: "transfer",
  async run(bench: Bench): Promise<Findings> {
    const { quick, full, signal, note } = bench;
    const bytes = (quick ? 32 : full ? 512 : 256) * MB;
    await using server = await bench.startServer();
    const { machines } = server.client;
    await using machine = await retrying(() => machines.create({ signal }), note);
    const agent = await AgentMemory.open(machine);
    const idle = { server: await server.memory(), agent: await agent.current() };
    const peaks = async (direction: string, work: () => Promise<number[]>) => {
      note(`${direction} of ${bytes / MB} MB`);
      await server.resetPeakMemory();
      await agent.resetPeak();
      const rates = await work();
      return { rates, server: await server.peakMemory(), agent: await agent.peak() };
    };
    const upload = await peaks("upload", () => send(machine, bytes, signal));
    const download = await peaks("download", () => receive(machine, bytes, signal));
    const samples = {
      upload: { ...summarise(upload.rates), unit: "MB/s" } as const,
      download: { ...summarise(download.rates), unit: "MB/s" } as const,
    };
    return {
      about: about(bytes),
      figures: {
        upload: { value: samples.upload.median, unit: "MB/s", what: "files.write of a stream" },
        download: {
          value: samples.download.median,
          unit: "MB/s",
          what: 'files.read, format "stream"',
        },
        server_rss_before: mib(idle.server.rss, "server before, garbage collected"),
        server_peak_rss_upload: mib(upload.server, "largest of the server during the upload"),
        server_peak_rss_download: mib(download.server, "largest of the server during the download"),
        agent_rss_before: mib(idle.agent, "agent before"),
        agent_peak_rss_upload: mib(upload.agent, "largest of the agent during the upload"),
        agent_peak_rss_download: mib(download.agent, "largest of the agent during the download"),
      },
      samples,
    };
  },
};

function mib(value: number, what: string): Figure {
  return { value: value / MIB, unit: "MiB", what };
}

function about(bytes: number): string {
  return (
    `One file of ${bytes / MB} MB from the SDK through the server into a machine, then back, ` +
    `its bytes compared. A sample is the rate of each ${SAMPLE_BYTES / MB} MB. Peaks are the ` +
    "largest resident memory that the kernels of host and guest saw during each transfer."
  );
}

async function send(machine: Machine, bytes: number, signal: AbortSignal): Promise<number[]> {
  const pattern = new Pattern();
  const rates = new Rates();
  async function* content() {
    for (let sent = 0; sent < bytes;) {
      const piece = pattern.next(Math.min(MB, bytes - sent));
      yield piece;
      sent += piece.length;
      // The SDK asks for more when the piece has gone.
      rates.add(piece.length);
    }
  }
  await machine.files.write(PATH, content(), { signal, requestTimeoutMs: 0 });
  return rates.samples;
}

async function receive(machine: Machine, bytes: number, signal: AbortSignal): Promise<number[]> {
  const pattern = new Pattern();
  const rates = new Rates();
  let received = 0;
  for await (const piece of await machine.files.read(PATH, { format: "stream", signal })) {
    pattern.expect(piece);
    received += piece.length;
    rates.add(piece.length);
  }
  if (received !== bytes) throw new Error(`${received} bytes came back of ${bytes}`);
  return rates.samples;
}

/** Cuts a transfer into samples of its rate, in MB/s. */
class Rates {
  readonly samples: number[] = [];
  #bytes = 0;
  #since = performance.now();

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < SAMPLE_BYTES) return;
    const now = performance.now();
    this.samples.push(this.#bytes / MB / ((now - this.#since) / 1000));
    this.#bytes = 0;
    this.#since = now;
  }
}

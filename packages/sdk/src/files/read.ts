import type { CallOptions } from "../call.js";
import type { AgentConnection } from "../connection.js";
import { concatBytes } from "../bytes.js";
import { InvalidArgumentError } from "../errors.js";
import { resumeStream } from "../resume.js";
import type { ReadOptions } from "./options.js";

/**
 * The bytes of a file, as they come. When the connection is lost it goes on at
 * the byte where it broke, as long as the file is the same.
 *
 * @throws ConflictError `FILE_CHANGED`
 */
export async function* readChunks(
  agent: AgentConnection,
  path: string,
  options: ReadOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  let offset = bytePosition("offset", options.offset ?? 0);
  let length = options.length === undefined ? undefined : bytePosition("length", options.length);
  let ifVersion = "";
  const attach = (attemptOptions: CallOptions) =>
    agent.stream(attemptOptions, (attempt) =>
      agent.files.read(
        { path, offset, ifVersion, ...(length !== undefined && { length }) },
        attempt,
      ),
    );
  for await (const { part } of resumeStream(options, attach, () => ifVersion !== "")) {
    if (part.case === "info") ifVersion = part.value.version;
    if (part.case !== "data" || part.value.length === 0) continue;
    offset += BigInt(part.value.length);
    if (length !== undefined) length -= BigInt(part.value.length);
    yield part.value;
  }
}

/** A file in one piece. */
export async function readBytes(
  agent: AgentConnection,
  path: string,
  options: ReadOptions,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of readChunks(agent, path, options)) {
    chunks.push(chunk);
    length += chunk.length;
  }
  return concatBytes(chunks, length);
}

/** A file as text. A byte order mark is kept: writing the text back gives the same bytes. */
export async function readText(
  agent: AgentConnection,
  path: string,
  options: ReadOptions,
): Promise<string> {
  const bytes = await readBytes(agent, path, options);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new InvalidArgumentError(`${path} is not UTF-8 text`, {
      reason: "INVALID_UTF8",
      remedy: 'Read it with format: "bytes". (An offset or length can also tear a character.)',
      details: { path },
      cause,
    });
  }
}

/**
 * A file as a stream that reads only when it is asked to. Resolves when the
 * file is open, so that a missing one is an error here and not in the stream.
 */
export async function readStream(
  agent: AgentConnection,
  path: string,
  options: ReadOptions,
): Promise<ReadableStream<Uint8Array>> {
  const chunks = readChunks(agent, path, options);
  let first: IteratorResult<Uint8Array, void> | undefined = await chunks.next();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = first ?? (await chunks.next());
        first = undefined;
        if (done === true || value === undefined) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await chunks.return();
      },
    },
    { highWaterMark: 0 },
  );
}

function bytePosition(name: string, value: number): bigint {
  if (Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  throw new InvalidArgumentError(`${name} is ${value}`, {
    remedy: `Give ${name} as a whole number of bytes, 0 or more.`,
  });
}

import type { Readable } from "node:stream";
import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { EdgeRequest } from "../exchange.js";

/** The field of a form that holds the file. */
const FIELD = "file";

const LIMITS = { fields: 16, fieldSize: 4096, files: 4, parts: 32, headerPairs: 32 };

/**
 * The file in a form that is being received (`multipart/form-data`), from its
 * field "file". Other fields are read and left.
 *
 * @throws Fault INVALID_ARGUMENT for a body that is no form or has no file.
 */
export async function* fileInForm(request: EdgeRequest): AsyncGenerator<Uint8Array, void> {
  const form = openForm(request);
  const found = Promise.withResolvers<Readable | undefined>();
  const ended = Promise.withResolvers<void>();
  // Each is awaited in its turn.
  found.promise.catch(() => undefined);
  ended.promise.catch(() => undefined);
  let file: Readable | undefined;
  const fail = (error: Error) => {
    found.reject(error);
    ended.reject(error);
    file?.destroy(error);
  };
  form.on("file", (name, stream) => {
    // It also tells of a form that ends within it, which whoever reads it is told.
    stream.on("error", () => undefined);
    if (name !== FIELD || file !== undefined) return void stream.resume();
    file = stream;
    found.resolve(stream);
  });
  form.on("finish", () => {
    found.resolve(undefined);
    ended.resolve();
  });
  form.on("error", (error) => fail(badForm(error)));
  request.on("error", fail);
  request.on("aborted", () => fail(new Error("the client broke the form off")));
  request.pipe(form);
  try {
    const stream = await found.promise;
    if (stream === undefined) throw badForm();
    try {
      for await (const chunk of stream) if (chunk instanceof Uint8Array) yield chunk;
    } catch (error) {
      throw request.destroyed ? error : badForm(error);
    }
    // A form that breaks off after the file's last byte is not known to hold all of it.
    await ended.promise;
  } finally {
    request.unpipe(form);
  }
}

function openForm(request: EdgeRequest): BusboyInstance {
  const contentType = request.headers["content-type"];
  if (contentType === undefined) throw badForm();
  try {
    return new Busboy({ headers: { "content-type": contentType }, limits: LIMITS });
  } catch (error) {
    throw badForm(error);
  }
}

function badForm(cause?: unknown): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `the body is no form with a field "${FIELD}"`, {
    remedy: `Send multipart/form-data, as curl -F ${FIELD}=@name does, or PUT the bytes themselves.`,
    cause,
  });
}

import { readFile } from "node:fs/promises";
import { type DescMessage, fromJsonString, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type ReplaceOptions, replaceFile } from "./durable-files.js";

/**
 * Reads a manifest: a Protobuf message as JSON.
 *
 * @throws SyntaxError or an error of Protobuf when it is damaged, the system's when it cannot be read.
 */
export async function readManifest<Desc extends DescMessage>(
  schema: Desc,
  path: string,
): Promise<MessageShape<Desc>> {
  return fromJsonString(schema, await readFile(path, "utf8"));
}

/** Writes a manifest whole. */
export async function writeManifest<Desc extends DescMessage>(
  schema: Desc,
  path: string,
  manifest: MessageShape<Desc>,
  options: ReplaceOptions,
): Promise<void> {
  await replaceFile(path, `${JSON.stringify(toJson(schema, manifest), null, 2)}\n`, options);
}

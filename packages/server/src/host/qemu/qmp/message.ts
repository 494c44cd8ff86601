import { asObject, isObject, numberOf, ShapeError, stringOf } from "./json.js";

/** One line of QMP, taken apart. */
export type QmpMessage =
  | { kind: "greeting"; version: QemuVersion }
  | { kind: "return"; id: unknown; value: unknown }
  | { kind: "error"; id: unknown; errorClass: string; description: string }
  | { kind: "event"; name: string; data: unknown };

/** As in "7.2.22". */
export interface QemuVersion {
  major: number;
  minor: number;
  micro: number;
}

/**
 * Takes apart one line that QEMU sent.
 *
 * @throws SyntaxError when it is not JSON, ShapeError when it is no QMP message.
 */
export function parseMessage(line: string): QmpMessage {
  const parsed: unknown = JSON.parse(line);
  const message = asObject(parsed);
  if ("return" in message) return { kind: "return", id: message.id, value: message.return };
  if (isObject(message.error)) {
    const errorClass = stringOf(message.error, "class");
    const description = stringOf(message.error, "desc");
    return { kind: "error", id: message.id, errorClass, description };
  }
  if ("event" in message) {
    return { kind: "event", name: stringOf(message, "event"), data: message.data ?? {} };
  }
  if (isObject(message.QMP)) {
    const version = asObject(asObject(message.QMP.version).qemu);
    return {
      kind: "greeting",
      version: {
        major: numberOf(version, "major"),
        minor: numberOf(version, "minor"),
        micro: numberOf(version, "micro"),
      },
    };
  }
  throw new ShapeError("neither a greeting, a reply nor an event");
}

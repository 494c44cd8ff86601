import {
  type Answer,
  decode,
  encode,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from "dns-packet";
import { parseAddress } from "../../../domain/ipv4.js";

/** What a client without EDNS takes in one datagram. */
const PLAIN_BYTES = 512;
/** What passes every network in one piece, and what we ask for. */
const EDNS_BYTES = 1232;

const HEADER_BYTES = 12;
/** Longest names of the protocol, in text. */
const MAX_NAME = 253;
/** Where an error's number is in the flags. */
const RCODE = { formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4 } as const;

/** Why a question gets no answer of its own. */
export type Refusal = keyof typeof RCODE;

/** A question of a guest, as far as it goes on. */
export interface Query {
  readonly id: number;
  /** In lower case, without a dot at the end. Only letters, digits, hyphens and underscores. */
  readonly name: string;
  /** As the protocol names it ("A"), or "UNKNOWN_65". */
  readonly type: string;
  readonly edns: boolean;
  /** How much the client takes in one datagram. */
  readonly maxBytes: number;
}

/** An address of an answer, and how long it holds, in seconds. */
export interface Address {
  readonly address: string;
  readonly ttl: number;
}

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;

/**
 * Reads a question. It comes from a hostile guest: whatever is not one plain question is refused.
 *
 * @returns What to refuse it with, or `undefined` for what deserves no answer at all.
 */
export function parseQuery(message: Buffer): Query | { id: number; refusal: Refusal } | undefined {
  if (message.length < HEADER_BYTES) return undefined;
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  // An answer must not be answered, or two servers would do so for ever.
  if ((flags & 0x8000) !== 0) return undefined;
  if ((flags & 0x7800) !== 0) return { id, refusal: "notImplemented" };
  try {
    const { questions = [], additionals = [] } = decode(message);
    const [question, ...more] = questions;
    if (question === undefined || more.length > 0) return { id, refusal: "formatError" };
    if ((question.class ?? "IN") !== "IN") return { id, refusal: "notImplemented" };
    const name = plain(question.name);
    if (name !== "" && !isName(name)) return { id, refusal: "noSuchName" };
    const opt = additionals.find((record) => record.type === "OPT");
    const asked = opt?.type === "OPT" ? opt.udpPayloadSize : PLAIN_BYTES;
    const maxBytes = Math.min(Math.max(asked, PLAIN_BYTES), EDNS_BYTES);
    return { id, name, type: question.type, edns: opt !== undefined, maxBytes };
  } catch {
    return { id, refusal: "formatError" };
  }
}

function isName(name: string): boolean {
  return name.length <= MAX_NAME && name.split(".").every((label) => LABEL.test(label));
}

/** The question as it goes on: written anew, so that nothing but its name and type leaves the machine. */
export function encodeQuery({ name, type, edns }: Query, id: number): Buffer {
  return encode({
    type: "query",
    id,
    flags: RECURSION_DESIRED,
    questions: [{ name, type: knownType(type) }],
    ...(edns && {
      additionals: [
        {
          type: "OPT",
          name: ".",
          udpPayloadSize: EDNS_BYTES,
          flags: 0,
          flag_do: false,
          extendedRcode: 0,
          ednsVersion: 0,
          options: [],
        },
      ],
    }),
  });
}

/** Types that are asked for on behalf of a guest. */
const TYPES = [
  "A",
  "CNAME",
  "MX",
  "NS",
  "PTR",
  "SOA",
  "SRV",
  "TXT",
  "CAA",
  "NAPTR",
  "DS",
  "DNSKEY",
  "TLSA",
  "SSHFP",
] as const;
type ForwardedType = (typeof TYPES)[number];

/** Whether there is any use in asking for a type: no machine reaches addresses of IPv6. */
export function isForwarded(type: string): boolean {
  return TYPES.some((one) => one === type);
}

function knownType(type: string): ForwardedType {
  const known = TYPES.find((one) => one === type);
  if (known === undefined) throw new Error(`questions for ${type} are not passed on`);
  return known;
}

/** An error, or with no refusal an answer that holds nothing. */
export function encodeReply({ id, name, type }: ReplyTo, refusal?: Refusal): Buffer {
  const flags =
    RECURSION_DESIRED | RECURSION_AVAILABLE | (refusal === undefined ? 0 : RCODE[refusal]);
  const question = name === undefined || type === undefined ? undefined : questionOf(name, type);
  const reply = encode({ type: "response", id, flags });
  if (question === undefined) return reply;
  reply.writeUInt16BE(1, 4);
  return Buffer.concat([reply, question]);
}

/** What a reply begins with; one to a message that could not be read has no question. */
export interface ReplyTo {
  readonly id: number;
  readonly name?: string;
  readonly type?: string;
}

const OTHER_TYPES: Readonly<Record<string, number>> = { AAAA: 28, SVCB: 64, HTTPS: 65, ANY: 255 };

/** A question by itself; `undefined` for a type that has no number here. */
function questionOf(name: string, type: string): Buffer | undefined {
  if (isForwarded(type)) {
    return encode({ questions: [{ name, type: knownType(type) }] }).subarray(HEADER_BYTES);
  }
  const number = OTHER_TYPES[type] ?? Number(/^UNKNOWN_(\d+)$/.exec(type)?.[1]);
  if (!Number.isInteger(number)) return undefined;
  const question = encode({ questions: [{ name, type: "A" }] }).subarray(HEADER_BYTES);
  question.writeUInt16BE(number, question.length - 4);
  return question;
}

/** An answer under the number of the question it is for. */
export function withId(answer: Buffer, id: number): Buffer {
  const copy = Buffer.from(answer);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** Whether an answer was cut off: all of it comes over TCP. */
export function isTruncated(answer: Buffer): boolean {
  return (answer.readUInt16BE(2) & TRUNCATED_RESPONSE) !== 0;
}

/** Tells a client to ask again over TCP. */
export function encodeTruncated(query: Query): Buffer {
  const reply = encodeReply(query);
  reply.writeUInt16BE(reply.readUInt16BE(2) | TRUNCATED_RESPONSE, 2);
  return reply;
}

/**
 * The addresses that an answer gives for the name that was asked for, through its aliases.
 *
 * @returns `undefined` when it is no answer to this question.
 */
export function parseAnswer(message: Buffer, id: number, query: Query): Address[] | undefined {
  if (message.length < HEADER_BYTES || message.readUInt16BE(0) !== id) return undefined;
  try {
    const { type, questions = [], answers = [] } = decode(message);
    const [question] = questions;
    if (type !== "response" || question === undefined) return undefined;
    if (plain(question.name) !== query.name || question.type !== query.type) return undefined;
    return addressesOf(query.name, answers);
  } catch {
    return undefined;
  }
}

function addressesOf(name: string, answers: readonly Answer[]): Address[] {
  const names = new Set([name]);
  // Aliases may stand in any order; each round finds at least one, or it was the last.
  for (let size = 0; size < names.size;) {
    size = names.size;
    for (const record of answers) {
      if (record.type === "CNAME" && names.has(plain(record.name))) names.add(plain(record.data));
    }
  }
  return answers.flatMap((record): Address[] => {
    if (record.type !== "A" || !names.has(plain(record.name))) return [];
    return parseAddress(record.data) === undefined
      ? []
      : [{ address: record.data, ttl: record.ttl ?? 0 }];
  });
}

function plain(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

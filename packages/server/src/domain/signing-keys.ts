import {
  type BinaryLike,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";
import { LONGEST_TOKEN_SECONDS, type SignedFamilyName } from "@nullspace/proto/tokens";
import { isSameSecret } from "./constant-time.js";
import { randomAlphanumeric } from "./random.js";

const SECRET_BYTES = 32;
const ID_LENGTH = 8;
const SIGNATURE = /^([a-z0-9]{8})\.([A-Za-z0-9_-]{43})$/;

/** One secret that keys of every family are derived from. */
export interface SigningKey {
  readonly id: string;
  /** 32 random bytes. */
  readonly secret: Uint8Array;
  readonly createdAt: Date;
  /** When another one took its place; `undefined` for the one that signs. */
  readonly retiredAt: Date | undefined;
}

/** Where signing keys are kept between two starts. */
export interface SigningKeyStore {
  /** Those that were saved last, the one that signs first; perhaps none that signs. */
  load(): Promise<readonly SigningKey[]>;
  /** Keeps these keys and no others: all of them or, if it fails, those of before. */
  save(keys: readonly SigningKey[]): Promise<void>;
}

/**
 * The secrets that tokens are signed with. The newest one signs; older ones verify until the
 * longest lifetime of a token has passed, so a rotation breaks nothing that is good. Each family
 * of tokens has a key of its own, derived by HKDF: a signature of one family is none of another.
 */
export class SigningKeys {
  readonly #store: SigningKeyStore;
  readonly #now: () => number;
  readonly #derived = new Map<string, KeyObject>();
  #keys: readonly SigningKey[];

  private constructor(store: SigningKeyStore, keys: readonly SigningKey[], now: () => number) {
    this.#store = store;
    this.#keys = keys;
    this.#now = now;
  }

  /** Opens the ring, with a first key when there is none. */
  static async open(store: SigningKeyStore, now: () => number = Date.now): Promise<SigningKeys> {
    const keys = new SigningKeys(store, await store.load(), now);
    if (!keys.#keys.some(({ retiredAt }) => retiredAt === undefined)) await keys.rotate();
    return keys;
  }

  /** Every key that verifies, the one that signs first. */
  list(): readonly SigningKey[] {
    return this.#keys.filter((key) => this.#verifies(key));
  }

  /**
   * Puts a new key in the place of the one that signs.
   *
   * @param immediately Ends every token that was signed before, instead of when its time is up.
   * @returns The new key.
   */
  async rotate(immediately = false): Promise<SigningKey> {
    const now = new Date(this.#now());
    const made: SigningKey = {
      id: randomAlphanumeric(ID_LENGTH),
      secret: randomBytes(SECRET_BYTES),
      createdAt: now,
      retiredAt: undefined,
    };
    const former = immediately
      ? []
      : this.list().map((key) => ({ ...key, retiredAt: key.retiredAt ?? now }));
    const keys = [made, ...former];
    // Kept first: a token that is signed by a key which the next start does not know is broken.
    await this.#store.save(keys);
    this.#keys = keys;
    this.#derived.clear();
    return made;
  }

  /**
   * Signs a text.
   *
   * @returns Id of the key and signature, safe in URLs, cookies and headers.
   */
  sign(family: SignedFamilyName, text: string): string {
    const [key] = this.#keys;
    if (key === undefined) throw new Error("the ring of signing keys is empty");
    return `${key.id}.${macOf(this.#keyOf(key, family), text)}`;
  }

  /** Whether {@link sign} made this signature, for the same family and text, with a key that still counts. */
  verify(family: SignedFamilyName, text: string, signature: string): boolean {
    const [, id, mac = ""] = SIGNATURE.exec(signature) ?? [];
    const key = this.#find(id);
    return key !== undefined && isSameSecret(mac, macOf(this.#keyOf(key, family), text));
  }

  /** Whether a key signed a text itself, as before there were families. */
  verifyUnderived(id: string, text: string, mac: string): boolean {
    const key = this.#find(id);
    return key !== undefined && isSameSecret(mac, macOf(key.secret, text));
  }

  #find(id: string | undefined): SigningKey | undefined {
    return this.#keys.find((key) => key.id === id && this.#verifies(key));
  }

  #verifies(key: SigningKey): boolean {
    const until = verifiesUntil(key);
    return until === undefined || this.#now() < until.getTime();
  }

  #keyOf({ id, secret }: SigningKey, family: SignedFamilyName): KeyObject {
    const name = `${id} ${family}`;
    const known = this.#derived.get(name);
    if (known !== undefined) return known;
    const info = `nullspace token ${family} 1`;
    const derived = hkdfSync("sha256", secret, "nullspace signing keys", info, 32);
    const key = createSecretKey(new Uint8Array(derived));
    this.#derived.set(name, key);
    return key;
  }
}

/** Until when what a key signed is good; `undefined` for the key that signs. */
export function verifiesUntil({ retiredAt }: SigningKey): Date | undefined {
  return retiredAt && new Date(retiredAt.getTime() + LONGEST_TOKEN_SECONDS * 1000);
}

function macOf(key: KeyObject | BinaryLike, text: string): string {
  return createHmac("sha256", key).update(text).digest("base64url");
}

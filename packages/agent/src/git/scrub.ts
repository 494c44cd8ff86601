/** What stands where a secret stood. */
const HIDDEN = "***";

/** A user name this long may be a token, as some servers have it. */
const TOKEN_LENGTH = 20;

/** Takes secrets out of what git, ssh and servers say. */
export type Scrub = (text: string) => string;

/** Hides what a URL holds before its host, whoever put it there. */
export function scrubUrls(text: string): string {
  return text.replaceAll(/(\b[a-z][a-z0-9+.-]*:\/\/)([^/\s@']*):[^/\s']*@/gi, `$1$2:${HIDDEN}@`);
}

/** Hides a password in every form in which it travels, and URLs' own. */
export function scrubberOf(username: string, password: string): Scrub {
  const secrets = [password, `${username}:${password}`];
  if (username.length >= TOKEN_LENGTH) secrets.push(username);
  const forms = secrets.flatMap((secret) => [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret).toString("base64"),
    Buffer.from(secret).toString("base64url"),
  ]);
  return scrubberOfForms(forms);
}

/** Hides each line of a private key, and its passphrase. */
export function scrubberOfKey(privateKey: string, passphrase: string): Scrub {
  const lines = privateKey.split(/\r?\n/).map((line) => line.trim());
  return scrubberOfForms([...lines.filter((line) => !line.startsWith("-----")), passphrase]);
}

function scrubberOfForms(forms: string[]): Scrub {
  // The longest first: one may be a part of another.
  const sorted = [...new Set(forms)]
    .filter((form) => form !== "" && form !== ":")
    .toSorted((a, b) => b.length - a.length);
  return (text) => sorted.reduce((rest, form) => rest.replaceAll(form, HIDDEN), scrubUrls(text));
}

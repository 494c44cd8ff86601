import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { hostSources, selectDeb822, selectOneLine } from "./apt-sources.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

describe("deb822 sources", () => {
  it("keeps keys and options, and only the suites asked for", () => {
    const text = `Types: deb deb-src
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates trixie
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: http://other.example/debian
Suites: trixie
Components: main
`;
    expect(selectDeb822(text, "bookworm")).toEqual([
      `Types: deb
Suites: bookworm bookworm-updates
URIs: http://mirror.example/debian
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----`,
    ]);
  });

  it("leaves out what is disabled or has no binary packages", () => {
    const stanza = "URIs: http://mirror.example\nSuites: bookworm\nComponents: main";
    expect(selectDeb822(`Enabled: no\nTypes: deb\n${stanza}`, "bookworm")).toEqual([]);
    expect(selectDeb822(`Types: deb-src\n${stanza}`, "bookworm")).toEqual([]);
    expect(selectDeb822(`Enabled: yes\nTypes: deb\n${stanza}`, "bookworm")).toHaveLength(1);
  });

  it("is not fooled by suites that only look alike", () => {
    const stanza = "Types: deb\nURIs: http://vendor.example\nSuites: tool-bookworm bookworm-pgdg";
    expect(selectDeb822(stanza, "bookworm")).toEqual([]);
  });
});

describe("one-line sources", () => {
  it("turns entries into stanzas", () => {
    const text = `# deb http://mirror.example bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/k.gpg] http://mirror.example/debian bookworm main contrib # x
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb http://vendor.example nodistro main
`;
    expect(selectOneLine(text, "bookworm")).toEqual([
      `Types: deb
URIs: http://mirror.example/debian
Suites: bookworm
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg`,
      `Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main`,
    ]);
  });
});

describe("sources of a host", () => {
  it("come from every file that apt reads, and from none if there is none", async () => {
    await using folder = await temporaryFolder();
    const etc = folder.path;
    expect(await hostSources("bookworm", etc)).toBe("");
    await mkdir(join(etc, "sources.list.d"));
    await writeFile(join(etc, "sources.list"), "deb http://a.example bookworm main\n");
    await writeFile(
      join(etc, "sources.list.d", "b.sources"),
      "Types: deb\nURIs: http://b.example\nSuites: bookworm-updates\nComponents: main\n",
    );
    await writeFile(
      join(etc, "sources.list.d", "c.list.disabled"),
      "deb http://c.example bookworm main\n",
    );
    const text = await hostSources("bookworm", etc);
    expect(text).toContain("http://a.example");
    expect(text).toContain("http://b.example");
    expect(text).not.toContain("http://c.example");
    expect(text.split("\n\n")).toHaveLength(2);
  });
});

import { DESCRIPTORS } from "./descriptors.js";

/*
 * QEMU opens its memory file by name, for reading and writing, even when it is
 * to map it privately. Until QEMU 9 it then also punches holes into that file
 * when the guest inflates its balloon: a guest could wipe the snapshot that all
 * its siblings are restored from. So QEMU gets the file as an open descriptor,
 * for reading only, and this library, loaded into it, answers its attempt to
 * open MEMORY_PATH with a duplicate of that descriptor.
 *
 * The library is a few dozen bytes of code. They are assembled here because a
 * host need not have a compiler:
 *
 *   open: open64: __open_2: __open64_2:    # rdi: path, esi: flags, edx: mode
 *     endbr64
 *     mov    %rdi, %r8
 *     mov    %esi, %r9d
 *     lea    path(%rip), %rsi
 *     mov    $sizeof(path), %ecx
 *     repe cmpsb                           # stops at the first difference
 *     jne    other
 *     mov    $MEMORY, %edi
 *     mov    $F_DUPFD_CLOEXEC, %esi
 *     mov    $MEMORY, %edx
 *     mov    $SYS_fcntl, %eax
 *     syscall
 *     ret
 *   other:
 *     mov    %edx, %ecx
 *     mov    %r9d, %edx
 *     mov    %r8, %rsi
 *     mov    $AT_FDCWD, %edi
 *     jmp    *openat@GOT(%rip)
 */

/** What QEMU is told to open as its memory. */
export const MEMORY_PATH = `/proc/self/fd/${DESCRIPTORS.memory}`;

/** The C library's functions that open a file by name, in each of its spellings. */
const OPENERS = ["open", "open64", "__open_2", "__open64_2"];

const F_DUPFD_CLOEXEC = 1030;
const SYS_FCNTL = 72;
const AT_FDCWD = -100;

const PAGE = 0x1000;
const DYNAMIC_ENTRIES = 9;
/** The second page, which the dynamic linker writes to: the dynamic section, then the address of openat. */
const DYNAMIC_AT = PAGE;
const OPENAT_SLOT_AT = DYNAMIC_AT + DYNAMIC_ENTRIES * 16;
const FILE_BYTES = OPENAT_SLOT_AT + 8;

const DT = { HASH: 4, STRTAB: 5, SYMTAB: 6, RELA: 7, RELASZ: 8, RELAENT: 9, STRSZ: 10, SYMENT: 11 };
const PT = { LOAD: 1, DYNAMIC: 2, GNU_STACK: 0x6474e551 };
const READ = 4;
const WRITE = 2;
const EXECUTE = 1;

/** The bytes of the library: an ELF shared object for x86-64. */
export function memoryLibrary(): Buffer {
  const names = ["openat", ...OPENERS];
  const strings = Buffer.from(`\0${names.join("\0")}\0`);
  const symbolCount = names.length + 1;

  const headerBytes = 64 + 4 * 56;
  const hashAt = align8(headerBytes);
  const symbolsAt = align8(hashAt + (3 + symbolCount) * 4);
  const stringsAt = symbolsAt + symbolCount * 24;
  const relocationAt = align8(stringsAt + strings.length);
  const pathAt = relocationAt + 24;
  const path = Buffer.from(`${MEMORY_PATH}\0`);
  const codeAt = align8(pathAt + path.length);
  const code = assemble({ codeAt, pathAt, pathBytes: path.length });

  const file = Buffer.alloc(FILE_BYTES);
  header(file);
  segments(file, codeAt + code.length);
  hashTable(file, hashAt, symbolCount);
  names.forEach((name, index) => {
    const value = index === 0 ? 0 : codeAt;
    symbol(file, symbolsAt + (index + 1) * 24, strings.indexOf(`\0${name}\0`) + 1, value);
  });
  strings.copy(file, stringsAt);
  words(file, relocationAt, OPENAT_SLOT_AT, R_X86_64_GLOB_DAT | (1n << 32n), 0);
  path.copy(file, pathAt);
  code.copy(file, codeAt);
  const dynamic = [
    [DT.HASH, hashAt],
    [DT.SYMTAB, symbolsAt],
    [DT.SYMENT, 24],
    [DT.STRTAB, stringsAt],
    [DT.STRSZ, strings.length],
    [DT.RELA, relocationAt],
    [DT.RELASZ, 24],
    [DT.RELAENT, 24],
  ];
  words(file, DYNAMIC_AT, ...dynamic.flat());
  return file;
}

const R_X86_64_GLOB_DAT = 6n;

interface CodePlace {
  codeAt: number;
  pathAt: number;
  pathBytes: number;
}

function assemble({ codeAt, pathAt, pathBytes }: CodePlace): Buffer {
  const memory = int32(DESCRIPTORS.memory);
  const duplicate = instructions(
    [0xbf, memory],
    [0xbe, int32(F_DUPFD_CLOEXEC)],
    [0xba, memory],
    [0xb8, int32(SYS_FCNTL)],
    [0x0f, 0x05],
    [0xc3],
  );
  const begin = instructions([0xf3, 0x0f, 0x1e, 0xfa], [0x49, 0x89, 0xf8], [0x41, 0x89, 0xf1]);
  const afterLea = codeAt + begin.length + 7;
  const compare = instructions(
    [0x48, 0x8d, 0x35, int32(pathAt - afterLea)],
    [0xb9, int32(pathBytes)],
    [0xf3, 0xa6],
    [0x75, duplicate.length],
  );
  const other = instructions(
    [0x89, 0xd1],
    [0x44, 0x89, 0xca],
    [0x4c, 0x89, 0xc6],
    [0xbf, int32(AT_FDCWD)],
  );
  const head = Buffer.concat([begin, compare, duplicate, other]);
  const afterJump = codeAt + head.length + 6;
  return Buffer.concat([head, instructions([0xff, 0x25, int32(OPENAT_SLOT_AT - afterJump)])]);
}

function instructions(...list: (number | Buffer)[][]): Buffer {
  return Buffer.concat(
    list.flat().map((part) => (typeof part === "number" ? Buffer.of(part) : part)),
  );
}

function header(file: Buffer): void {
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  file.writeUInt16LE(3, 16); // ET_DYN
  file.writeUInt16LE(62, 18); // EM_X86_64
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(64n, 32); // Segments follow this header.
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(4, 56);
}

function segments(file: Buffer, codeEnd: number): void {
  const table = [
    { type: PT.LOAD, flags: READ | EXECUTE, from: 0, bytes: codeEnd },
    { type: PT.LOAD, flags: READ | WRITE, from: DYNAMIC_AT, bytes: FILE_BYTES - DYNAMIC_AT },
    { type: PT.DYNAMIC, flags: READ | WRITE, from: DYNAMIC_AT, bytes: DYNAMIC_ENTRIES * 16 },
    { type: PT.GNU_STACK, flags: READ | WRITE, from: 0, bytes: 0 },
  ];
  table.forEach(({ type, flags, from, bytes }, index) => {
    const at = 64 + index * 56;
    file.writeUInt32LE(type, at);
    file.writeUInt32LE(flags, at + 4);
    words(file, at + 8, from, from, from, bytes, bytes, PAGE);
  });
}

/** One bucket with every function we define: the linker walks it and compares names. */
function hashTable(file: Buffer, at: number, symbolCount: number): void {
  const firstDefined = 2;
  const next = Array.from({ length: symbolCount }, (_, index) =>
    index >= firstDefined && index + 1 < symbolCount ? index + 1 : 0,
  );
  [1, symbolCount, firstDefined, ...next].forEach((word, index) => {
    file.writeUInt32LE(word, at + index * 4);
  });
}

/** A global function; an address of 0 means that another library defines it. */
function symbol(file: Buffer, at: number, name: number, address: number): void {
  const [globalFunction, firstSegment] = [0x12, 1];
  file.writeUInt32LE(name, at);
  file.writeUInt8(globalFunction, at + 4);
  file.writeUInt16LE(address === 0 ? 0 : firstSegment, at + 6);
  words(file, at + 8, address);
}

function words(file: Buffer, at: number, ...values: (number | bigint)[]): void {
  values.forEach((value, index) => file.writeBigUInt64LE(BigInt(value), at + index * 8));
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function align8(offset: number): number {
  return Math.ceil(offset / 8) * 8;
}

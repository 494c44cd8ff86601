/** Bytes of a block of an upload's `blocks_sha256`; the last one of a file may have fewer. */
export const UPLOAD_BLOCK_BYTES = 1 << 20;

/** Folders in which every file must belong to a region. */
export const SOURCES = ["proto/src", "packages/*/src", "bench"];

/** Size of a page of memory. */
export const PAGE_BYTES = 4096;

/** Pages of a guest that follow each other, in its memory and in a file. */
export interface PageRun {
  /** First page, counted from the beginning of the guest's memory. */
  page: number;
  pages: number;
  /** Where they begin in the file, in pages. */
  at: number;
}

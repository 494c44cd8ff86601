/** The largest file that is shown, in bytes. */
export const LARGEST_BYTES = 512 * 1024;

/** A file's text as a text field holds it: lines end with "\n" there, whatever they do in the file. */
export interface EditableText {
  text: string;
  lineEnd: "\n" | "\r\n";
}

/** A file's text, or why it cannot be edited here without harm. */
export function editableText(data: Uint8Array): EditableText | { refusal: string } {
  let text: string;
  try {
    // The byte order mark is kept, so that it is still there when the file is saved.
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return { refusal: "This file is not text in UTF-8." };
  }
  if (text.includes("\0")) return { refusal: "This file is not text." };
  const ends = new Set(text.match(/\r\n|\r|\n/g));
  if (ends.has("\r") || ends.size > 1) {
    return { refusal: "The lines of this file end in several ways, which a save would change." };
  }
  const lineEnd = ends.has("\r\n") ? "\r\n" : "\n";
  return { text: text.replaceAll("\r\n", "\n"), lineEnd };
}

/** What is to be saved. */
export function fileText({ text, lineEnd }: EditableText): string {
  return lineEnd === "\n" ? text : text.replaceAll("\n", lineEnd);
}

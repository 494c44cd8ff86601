export { downloadDir } from "./download-dir.js";
export { downloadFile } from "./download-file.js";
export { uploadDir } from "./upload-dir.js";
export { uploadFile } from "./upload-file.js";

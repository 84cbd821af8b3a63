/** How large an argument is, where it names a file. */
import { statSync } from "node:fs";

/** Bytes of a file; undefined for what is none, a directory too. */
export function fileSize(path: string): number | undefined {
  try {
    const found = statSync(path);
    return found.isDirectory() ? undefined : found.size;
  } catch {
    return undefined;
  }
}

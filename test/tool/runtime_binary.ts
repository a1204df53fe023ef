/**
 * Where the runtimes' own executables are. The entries of `node_modules/.bin` may be scripts that start the real
 * program as a child; a signal sent to such a script never reaches the server, so only native binaries are used.
 */
import { Buffer } from "node:buffer";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

export type RuntimeName = "deno" | "bun" | "node";

export const runtimeNames: readonly RuntimeName[] = ["deno", "bun", "node"];

/** The folder that holds package.json. */
export const projectFolder: string = fileURLToPath(new URL("../../", import.meta.url));

function ownRuntime(): RuntimeName {
  return "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";
}

/** Absolute path of the executable of the dev dependency `runtime`; throws when `npm install` did not bring it. */
export function runtimeBinary(runtime: RuntimeName): string {
  const found = candidates(runtime).find(isNativeExecutable);
  if (found !== undefined) return found;
  if (ownRuntime() === runtime) return process.execPath;
  throw new Error(
    `No ${runtime} in node_modules: run "npm install" (it must be allowed to run the install script of "${runtime}")`,
  );
}

function candidates(runtime: RuntimeName): string[] {
  const exe = process.platform === "win32" ? ".exe" : "";
  const folders = moduleFolders();
  const inPackage = (file: string): string[] => folders.map((folder) => path.join(folder, file));
  // Without its install script a package holds no binary; the platform package beside it does.
  const inScope = (scope: string, file: string): string[] =>
    folders.flatMap((folder) =>
      list(path.join(folder, scope)).map((name) => path.join(folder, scope, name, file))
    );
  switch (runtime) {
    case "node":
      return inPackage(`node/bin/node${exe}`);
    case "deno":
      return [...inPackage(`deno/deno${exe}`), ...inScope("@deno", `deno${exe}`)];
    case "bun":
      return [...inPackage("bun/bin/bun.exe"), ...inScope("@oven", `bin/bun${exe}`)];
  }
}

/** `node_modules` of the project and of every folder above it. */
function moduleFolders(): string[] {
  const folders: string[] = [];
  for (let folder = path.resolve(projectFolder);; folder = path.dirname(folder)) {
    folders.push(path.join(folder, "node_modules"));
    if (folder === path.dirname(folder)) return folders;
  }
}

function list(folder: string): string[] {
  try {
    return fs.readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** True for ELF, Mach-O and PE files: what the system runs itself, without an interpreter. */
function isNativeExecutable(file: string): boolean {
  let descriptor: number;
  try {
    descriptor = fs.openSync(file, "r");
  } catch {
    return false;
  }
  try {
    const magic = Buffer.alloc(4);
    fs.readSync(descriptor, magic, 0, 4, 0);
    const word = magic.readUInt32BE(0);
    return word === 0x7f454c46 ||
      [0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe].includes(word) ||
      magic.readUInt16BE(0) === 0x4d5a;
  } finally {
    fs.closeSync(descriptor);
  }
}

/** The library as a program on this runtime imports it. Only test code may tell runtimes apart. */
const name = "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node";

/** URL of the module that `import ... from "dfdb"` means here, from sources. */
export const embedUrl = new URL(`../../adapters/${name}/embed.ts`, import.meta.url).href;

/** Loads only the adapter that fits: the others name globals that are not there. */
export const embedded = await import(embedUrl) as typeof import("../../adapters/node/embed.ts");

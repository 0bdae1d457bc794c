import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { brotliCompress, constants, gzip } from "node:zlib";
import { promisify } from "node:util";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const SMALLEST_PACKED = 1024;

/** Packs every text file once, at build time, so that the server only sends bytes. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    async writeBundle(options) {
      const root = options.dir!;
      const names = (await readdir(root, { recursive: true })).filter((name) => /\.(js|css|svg|html)$/.test(name));
      await Promise.all(
        names.map(async (name) => {
          const content = await readFile(join(root, name));
          if (content.length < SMALLEST_PACKED) return;
          const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 10 } };
          await writeFile(join(root, `${name}.br`), await promisify(brotliCompress)(content, quality));
          await writeFile(join(root, `${name}.gz`), await promisify(gzip)(content, { level: 9 }));
        }),
      );
    },
  };
}

export default defineConfig({
  plugins: [react(), packed()],
  build: {
    target: "es2023",
    assetsInlineLimit: 0, // the content policy allows no data: addresses
    cssCodeSplit: true,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 900,
  },
  server: {
    // `npm run dev` beside a server on port 8000.
    proxy: Object.fromEntries(
      ["/v1", "/token", "/health", "/docs", "/openapi.json"].map((path) => [
        path,
        { target: process.env.ANTIPHON ?? "http://127.0.0.1:8000", changeOrigin: true, ws: true },
      ]),
    ),
  },
});

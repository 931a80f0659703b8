import { defineConfig } from "vite";

// Fixed names, since the Rust side names each file; one script and one style sheet, since nothing is loaded later.
export default defineConfig({
  base: "/",
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/ready": "http://127.0.0.1:8080" } },
  build: {
    target: ["chrome123", "firefox121", "safari17.5"],
    outDir: "dist",
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    modulePreload: false,
    rollupOptions: { output: { entryFileNames: "page.js", assetFileNames: "page[extname]" } },
  },
});

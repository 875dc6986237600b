import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

/** Puts script and style into the HTML, which is then the only file: a page opened from disk may fetch nothing. */
function oneFile(name: string): Plugin {
  return {
    name: "one-file",
    enforce: "post",
    generateBundle(_, bundle) {
      const page = bundle["index.html"];
      if (page?.type !== "asset") throw new Error("no index.html among what was built");
      let html = String(page.source).replace(/\s*<script type="module"[^>]*><\/script>|\s*<link rel="stylesheet"[^>]*>/g, "");
      for (const [key, piece] of Object.entries(bundle)) {
        if (key === "index.html") continue;
        const code = piece.type === "chunk" ? piece.code : String(piece.source);
        // "</script" and "<!--" inside a script would end it or change how it is read
        const safe = code.trim().replace(/<\/(script|style)/gi, "<\\/$1").replace(/<!--/g, "<\\!--");
        const tag = piece.type === "chunk" ? `<script type="module">${safe}</script>\n</body>` : `<style>${safe}</style>\n</head>`;
        html = html.replace(piece.type === "chunk" ? "</body>" : "</head>", () => tag);
        delete bundle[key];
      }
      page.source = html;
      page.fileName = name;
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [svelte({ compilerOptions: { cssHash: ({ hash, css }) => `a${hash(css)}` } }), oneFile("shell.html")],
  build: {
    outDir: "../src/antagony/page",
    emptyOutDir: false,
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
  },
});

// What a browser's driver evaluates in the page; it must not refer to anything of this file.

/** What the page makes of files, in base64, by its function for the console. */
export async function classify(files) {
  const results = [];
  for (const file of files) {
    const bytes = Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0));
    try {
      const { lengths, pixels, inverted, unlike, answer } = await capsedge.classify(new File([bytes], "image"));
      results.push({ lengths: [...lengths], pixels: [...pixels], inverted, unlike, answer });
    } catch (error) {
      results.push({ error: error.message });
    }
  }
  return results;
}

// Encoder and decoder, run by ONNX Runtime Web on one thread.

const networks = {
  async load() {
    const script = URL.createObjectURL(new Blob([await unzipped(blob("runtime"))], { type: "text/javascript" }));
    const [ort, wasm, decoder, encoder] = await Promise.all([
      import(script), unzipped(blob("wasm")), unzipped(blob("decoder")), unzipped(blob("encoder")),
    ]);
    URL.revokeObjectURL(script);
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = wasm.buffer;
    this.ort = ort;
    this.decoder = await ort.InferenceSession.create(decoder, { executionProviders: ["wasm"] });
    this.encoder = await ort.InferenceSession.create(encoder, { executionProviders: ["wasm"] });
  },

  /** One call at a time: the runtime has one thread. */
  inTurn(call) {
    const result = (this.last ?? Promise.resolve()).then(call);
    this.last = result.catch(() => {});
    return result;
  },

  /** Codes (N * D) to images (N * C * H * W) and class probabilities (N * Y), or null without a head. */
  decode(codes) {
    const count = codes.length / LATENTS;
    return this.inTurn(async () => {
      const found = await this.decoder.run({ z: new this.ort.Tensor("float32", codes, [count, LATENTS]) });
      return { images: found.images.data, probabilities: found.probabilities?.data ?? null };
    });
  },

  /** One image (C * H * W) to mean and log-variance of q(z|x), each (D). */
  encode(pixels) {
    return this.inTurn(async () => {
      const found = await this.encoder.run({ x: new this.ort.Tensor("float32", pixels, [1, CHANNELS, HEIGHT, WIDTH]) });
      return { mean: found.mean.data.slice(), logVariance: found.log_variance.data.slice() };
    });
  },
};

/* Preloaded into our receiver for `bench ingest --sync off`, a comparison only: nothing
   is synced, though the program asks for it. No switch of the product does this. */

int fsync(int descriptor)
{
    (void) descriptor;
    return 0;
}

int fdatasync(int descriptor)
{
    (void) descriptor;
    return 0;
}

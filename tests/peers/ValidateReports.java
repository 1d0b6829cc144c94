import com.pixelmed.validate.DicomSRValidator;

/** PixelMed's validator over many files: its style sheets are compiled once, not for each. */
public final class ValidateReports {
    public static void main(String[] paths) throws Exception {
        DicomSRValidator validator = new DicomSRValidator();
        for (String path : paths) {
            System.out.println("File: " + path);
            System.out.println(validator.validate(path));
        }
    }
}
